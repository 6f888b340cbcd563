// One client connection: handshake, requests one after another, orderly end. Lives in the frame of its coroutine, on
// the core that adopted it; never moves.
#pragma once

#include "proxy/core.hpp"
#include "proxy/exchange.hpp"

namespace scoregate::proxy {

// Takes ownership of `descriptor`, a connected non-blocking TCP socket, and serves it until it ends. The core's thread.
void adopt_client(core& where, int descriptor, entrance through);

} // namespace scoregate::proxy
