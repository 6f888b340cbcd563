// One client connection: handshake, requests one after another, orderly end. Owned by the root of its coroutine,
// on the core that adopted it; never moves.
#pragma once

#include "proxy/core.hpp"
#include "proxy/dealing.hpp"
#include "proxy/exchange.hpp"

namespace scoregate::proxy {

// The port that a client came in by. Whether requests in clear are scored is the configuration's word, request by
// request, so that it can change under open connections.
enum class entrance : std::uint8_t { https, http };

// A connection that has been accepted.
struct arrival {
    int descriptor; // a connected non-blocking TCP socket
    base::ip_address peer;
    entrance through;
};

// Takes the descriptor and serves the connection until it ends. It has been promised. The core's thread.
void adopt_client(core& where, dealing& of, const arrival&);
// The same, but an idle one makes way for it: of this core, or of the next that has any; `tried` cores had none. If
// nobody has, it is refused.
void adopt_in_place_of_idle(core& where, dealing& of, const arrival&, std::size_t tried = 0);

} // namespace scoregate::proxy
