// One client connection: handshake, requests one after another, orderly end. Lives in the frame of its coroutine, on
// the core that adopted it; never moves.
#pragma once

#include "proxy/core.hpp"
#include "proxy/exchange.hpp"

namespace scoregate::proxy {

// The port that a client came in by. Whether requests in clear are scored is the configuration's word, request by
// request, so that it can change under open connections.
enum class entrance : std::uint8_t { https, http };

// Takes ownership of `descriptor`, a connected non-blocking TCP socket, and serves it until it ends. The core's thread.
void adopt_client(core& where, int descriptor, entrance through);

} // namespace scoregate::proxy
