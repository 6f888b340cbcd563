// The one normalisation of a request's path (RFC 3986 6.2.2): what is compared with routes is what is sent on. A path
// that two servers could take for two is refused. No I/O; one pass and no allocation where nothing is to be done.
#pragma once

#include "base/result.hpp"

#include <string>
#include <string_view>

namespace scoregate::http {

// `sent` begins with a slash, has only characters of a request target and no query. Escapes of unreserved characters
// are decoded, the others get capital digits. The result is `sent` itself, or stands in `room`. fault::bad_request for
// - an escape that is none, or of a slash, backslash, percent sign or control character;
// - escapes that together are no UTF-8 (RFC 3629), overlong forms included;
// - segments that are empty, but for the last, or consist of dots, also where `;`, `?` or `#` follow, escaped or not:
//   who takes parameters off or decodes too early would climb.
base::result<std::string_view> normalise_path(std::string_view sent, std::string& room);

// Whether a server may take `path`, which is normalised, for `plain`, which has no escapes, or with `beneath` for a
// path beneath it: because it decodes, takes parameters off the names of segments, or sees the end at an escaped `?` or
// `#`.
bool may_be_read_as(std::string_view path, std::string_view plain, bool beneath);

} // namespace scoregate::http
