// A request at a replica that nobody waits for any more, with on_abandon finish: its reply is read and dropped, and its
// slot stays taken until the replica has replied, has closed, or abandon_max has passed. Then the replica gets no other
// request until it answers a GET again: a worker that ignores a hang-up would still be at the old one. A coroutine of
// its own, on the core of the request.
#pragma once

#include "http/body.hpp"
#include "proxy/core.hpp"
#include "routing/snapshot.hpp"
#include "upstream/connection.hpp"

#include <memory>
#include <string>

namespace scoregate::proxy {

struct abandoned_work {
    std::shared_ptr<const routing::snapshot> pinned;
    const routing::target* at;
    routing::slot slot;
    std::unique_ptr<upstream::connection> replica;
    http::method verb;
    bool head_seen, reusable; // of the reply
    http::body_decoder body;  // of the reply, once its head has been seen
    std::string unread;       // of the reply
    bool request_whole;       // false: the replica cannot begin, or finish, without the rest, and is told so
};

// Takes it over. Ends by itself, or when the core drains.
void finish_abandoned(core& where, abandoned_work work);

} // namespace scoregate::proxy
