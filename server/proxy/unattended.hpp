// Requests at a replica that no client waits for: those that their clients have left or that took too long (on_abandon
// finish), and copies of mirrored traffic. Each is a coroutine of its own on the core of the request. Its reply is read
// and dropped, and its slot stays taken until the replica has replied, has closed, or abandon_max has passed; then the
// replica gets no other request in its place until it answers a GET again, because a worker that ignores a hang-up
// would still be at the old one. A drain does not wait for them: what is left ends with the core, and until then keeps
// its slot from those who do wait.
#pragma once

#include "base/byte_budget.hpp"
#include "http/body.hpp"
#include "proxy/core.hpp"
#include "routing/snapshot.hpp"
#include "upstream/connection.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace scoregate::proxy {

// A request at a replica, and how far its reply has come.
struct unattended_work {
    std::shared_ptr<const routing::snapshot> pinned;
    const routing::target* at;
    routing::slot slot;
    std::unique_ptr<upstream::connection> replica;
    http::method verb;
    bool head_seen = false;    // of the reply
    bool reusable = true;      // by every head of the reply so far
    http::body_decoder body{}; // of the reply, once its head has been seen
    std::string unread{};      // of the reply
    // False: the replica cannot begin, or finish, without the rest, and is told so.
    bool request_whole = true;
    // False: its reply was no HTTP, and only its end can be waited for.
    bool readable = true;
};

// Takes over what a client has left, or has waited too long for.
void finish_abandoned(core& where, unattended_work work);

struct request_copy {
    std::shared_ptr<const routing::snapshot> pinned;
    const routing::target* to; // a deployment without live traffic
    http::method verb;
    std::string bytes;     // all of the request
    base::byte_share held; // as much of held_bodies::copied
};

// At once on one core: a deployment that hangs must not take the descriptors that originals need.
inline constexpr std::size_t most_copies = 256;

// Sends it when a replica is free, under the deployment's own limits, and counts what comes of it. Begins only after
// what the core is at now.
void send_copy(core& where, request_copy copy);

} // namespace scoregate::proxy
