// Where OpenSSL's memory comes from.
#pragma once

namespace scoregate::tls {

// From here on OpenSSL's record buffers come from base::block_store, all else from the heap as before. Called once,
// before anything else of OpenSSL; false, and nothing changed, if it was too late.
bool keep_record_buffers_apart();

} // namespace scoregate::tls
