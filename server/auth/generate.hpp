// New keys for clients, as `scoregate key generate` prints them. Any thread.
#pragma once

#include <string>

namespace scoregate::auth {

// 256 random bits as 43 characters of base64url (RFC 4648 5) without padding. The caller wipes it if it is to be wiped.
// Throws std::runtime_error when the random generator fails.
std::string generate_key();

} // namespace scoregate::auth
