#include "proxy/exchange.hpp"

#include "http/reply.hpp"
#include "proxy/unattended.hpp"

#include <algorithm>

namespace scoregate::proxy {

using base::awaited;
using base::error_code;
using base::fail;
using base::failure;
using base::fault;
using base::result;
using base::task;
namespace asio = boost::asio;

template <class Stream>
exchange<Stream>::exchange(client_side<Stream>& client)
    : client_(client),
      core_(client.where),
      reading_(core_.wheel, this, cancel_client),
      writing_(core_.wheel, this, judge_reader),
      cooling_(core_.wheel, this, cancel_client),
      replica_reading_(core_.wheel, this, cancel_replica),
      replica_writing_(core_.wheel, this, cancel_replica),
      unwatched_(core_.wheel, this, [](void* self) { static_cast<exchange*>(self)->watch(); }),
      total_(core_.wheel, this, cancel_all),
      place_(core_),
      out_(core_.buffers),
      reply_(core_.buffers),
      copied_head_(core_.buffers) {}

template <class Stream>
void exchange<Stream>::cancel_all(void* self) {
    cancel_client(self);
    cancel_replica(self);
    static_cast<exchange*>(self)->place_.tell();
}

template <class Stream>
void exchange<Stream>::cancel_client(void* self) {
    static_cast<exchange*>(self)->client_.stream.socket().cancel();
}

template <class Stream>
void exchange<Stream>::cancel_replica(void* self) {
    if (auto& replica = static_cast<exchange*>(self)->replica_) replica->cancel();
}

template <class Stream>
void exchange<Stream>::abort() {
    aborted_ = true;
    client_.stream.socket().close();
    if (replica_) replica_->cancel(); // it may still be at work: see leave_replica
    place_.tell();
}

template <class Stream>
void exchange<Stream>::trim() {
    out_.trim();
    reply_.trim();
}

template <class Stream>
task<ending> exchange<Stream>::serve() {
    begin();
    failure why;
    const auto outcome = co_await forward();
    if (!outcome) why = outcome.error();
    if (now_.uploading) co_await end_upload();
    unwatched_.disarm();
    if (now_.watching) co_await end_watch();
    total_.disarm();
    leave_replica(why);
    drop_request();
    copied_head_.release();
    if (why.kind != fault::none && now_.reply_started) now_.ending = ending::cut;
    if (why.kind != fault::none && !now_.reply_started) co_await answer(why);
    record(why);
    busy_ = false;
    co_return now_.ending;
}

template <class Stream>
void exchange<Stream>::begin() {
    busy_ = true;
    now_ = {};
    now_.metrics = core_.unmatched.get();
    now_.addresses = client_.address;
    ++client_.requests;
    if (snapshot_ != core_.snapshot()) {
        snapshot_ = core_.snapshot();
        judge_peer();
    }
    place_.avoid_none();
    request_body_ = {};
    upload_failure_ = {};
    own_reply_.clear();
    challenge_.clear();
    replica_name_.clear();
    kept_.clear();
    identity_.id = core_.identifiers.make_guid();
    identity_.client.size = identity_.trace.size = 0;
    now_.began = clock::now();
    now_.began_at = std::chrono::system_clock::now();
}

template <class Stream>
task<result<void>> exchange<Stream>::forward() {
    // Head.
    auto found = find_request();
    if (found && !*found) found = co_await read_head();
    if (!found) co_return found.error();
    reading_.disarm();
    now_.head_read = clock::now();

    // Decision.
    if (const auto decided = decide(); !decided) co_return decided.error();
    if (!own_reply_.empty()) co_return co_await send_own_reply();
    if (!challenge_.empty()) co_return co_await answer_challenge();

    // Body, as far as it is collected: a slow upload must not keep a replica from others.
    if (const auto held = account_for(out_.capacity() + copied_head_.capacity()); !held) co_return held.error();
    if (!request_body_.done() && !now_.expects_continue) {
        const auto began = clock::now();
        const auto collected = co_await collect_body();
        if (!collected) co_return collected.error();
        now_.collecting = clock::now() - began;
    }

    // Replica: a slot, perhaps after a wait.
    const auto has_slot = ask_for_slot();
    if (!has_slot) co_return has_slot.error();
    if (!*has_slot) {
        const auto granted = co_await wait_for_slot();
        if (!granted) co_return granted.error();
    }

    // A connection that is idle or new; request out, reply back. Both bodies may flow at once.
    for (;;) {
        begin_try();
        result<void> tried;
        if (!replica_) tried = co_await reach_replica();
        if (tried) tried = co_await dispatch();
        if (tried) tried = co_await read_reply_head();
        if (tried && !now_.turned_away) break;
        const auto again = co_await try_again(tried ? failure{} : tried.error());
        if (!again) co_return again.error();
        if (!*again) break;
    }
    co_return co_await relay_reply();
}

// What find_request() has not found: true, or why not. The deadline is for the whole head, not for each read.
template <class Stream>
task<result<bool>> exchange<Stream>::read_head() {
    constexpr auto too_late = "the head was not whole within timeouts.header_ms";
    reading_.arm(timeouts().header);
    for (;;) {
        auto& in = client_.in;
        if (co_await await_client()) co_return client_failure(too_late);
        if (!in.has_block()) in.reserve();
        if (in.writable().empty()) in.compact();
        if (in.writable().empty()) in.reserve(snapshot_->head_limits().bytes);
        const auto room = in.writable();
        const auto [ec, n] = co_await client_.stream.async_read_some(asio::buffer(room.data(), room.size()), awaited);
        if (ec) co_return client_failure(too_late);
        in.commit(n);
        const auto found = find_request();
        if (!found) co_return found.error();
        if (*found) co_return true;
    }
}

template <class Stream>
task<result<void>> exchange<Stream>::send_own_reply() {
    now_.reply_started = true;
    now_.ending = now_.client_keeps_alive ? ending::keep_alive : ending::close;
    error_code ec;
    const auto sent = client_.stream.write_now(own_reply_, ec);
    now_.bytes_out = own_reply_.size();
    co_return co_await send_rest_to_client(std::string_view(own_reply_).substr(sent), ec);
}

// True once a whole head has been parsed into core_.request.
template <class Stream>
result<bool> exchange<Stream>::find_request() {
    auto& in = client_.in;
    // One empty line before a request is ignored (RFC 9112 2.2), and no more; its CR may have come alone.
    if (!now_.empty_line_ignored && now_.scanned <= 1 && in.readable().starts_with("\r\n")) {
        in.consume(2);
        now_.scanned = 0;
        now_.empty_line_ignored = true;
    }
    const auto end = http::find_head_end(in.readable(), now_.scanned, snapshot_->head_limits());
    if (!end) return end.error();
    if (!*end) return false;
    now_.head_size = **end;
    auto& head = core_.request;
    const auto parsed = head.parse(in.readable().substr(0, now_.head_size), snapshot_->head_limits());
    now_.verb = head.verb;
    // A client must not have the log grow by much more than what it sends, nor an idle connection.
    constexpr std::size_t most_of_method = 32, most_of_path = 2048, most_of_user_agent = 512;
    const auto method = head.method_name.substr(0, most_of_method), path = head.path.substr(0, most_of_path);
    now_.method_size = method.size();
    now_.path_size = path.size();
    kept_.append(method).append(path).append(head.user_agent.substr(0, most_of_user_agent));
    if (!parsed) return parsed.error();
    now_.head_parsed = true;
    return true;
}

template <class Stream>
failure exchange<Stream>::given_up() const {
    if (aborted_) return fail(fault::draining);
    if (total_.fired()) return fail(fault::total_timeout);
    if (now_.client_left) return fail(fault::client_gone);
    return {};
}

template <class Stream>
task<result<void>> exchange<Stream>::reach_replica() {
    const auto began = clock::now();
    unwatched_.arm(base::deadline_wheel::tick_length);
    const auto& where = slot_.where();
    replica_ = std::make_unique<upstream::connection>(core_.where(), where.id, core_.most_replica_descriptors);
    metrics().replica_connects.add();
    replica_reading_.arm(timeouts().connect);
    const auto ec = co_await replica_->open(where, core_.buffers);
    const bool timed_out = replica_reading_.fired();
    replica_reading_.disarm();
    const auto took = clock::now() - began;
    now_.connecting += took;
    const auto why = connect_failure(ec, timed_out);
    if (trace_) add_stage(telemetry::stage::connect, began, began + took, why.kind);
    if (why.kind != fault::none) co_return why;
    co_return result<void>{};
}

// None if the connection is there.
template <class Stream>
failure exchange<Stream>::connect_failure(error_code ec, bool timed_out) const {
    if (const auto why = given_up(); why.kind != fault::none) return why;
    if (timed_out) return fail(fault::connect_timeout);
    if (ec && telemetry::log().should_log(spdlog::level::debug))
        telemetry::log().debug("replica {}: cannot connect: {}", slot_.where().url, ec.message());
    const bool own_fault =
        ec == boost::system::errc::too_many_files_open || ec == boost::system::errc::no_buffer_space ||
        ec == boost::system::errc::too_many_files_open_in_system || ec == boost::system::errc::address_not_available;
    if (own_fault) {
        auto why = fail(fault::overloaded, "it is out of file descriptors or local ports; see its log");
        why.retry_after = 1;
        return why;
    }
    return ec ? fail(fault::connect_failed) : failure{};
}

// Sends the head with the first of the body; the rest of it follows by itself, while the reply is already awaited.
template <class Stream>
task<result<void>> exchange<Stream>::dispatch() {
    if (now_.expects_continue && !request_body_.done()) {
        constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        error_code ec;
        const auto sent = client_.stream.write_now(go_on, ec);
        const auto told = co_await send_rest_to_client(go_on.substr(sent), ec);
        if (!told) co_return told.error();
        now_.expects_continue = false;
    }
    error_code ec;
    if (trace_) begin_model();
    const auto bytes = out_.readable();
    const auto sent = replica_->write_now(bytes, ec);
    now_.sent = !ec || sent != 0;
    if (!now_.sent) co_return fail(fault::replica_closed); // before we came to it: the request is still whole
    if (ec || sent < bytes.size()) {
        const auto rest = co_await send_rest_to_replica(bytes.substr(sent), ec);
        if (!rest && rest.error().kind != fault::replica_closed) co_return rest.error();
        now_.replica_write_failed = !rest; // it may have answered before it closed
    }
    if (now_.mirror != nullptr) send_copy_of(out_.readable().substr(now_.replica_head_size));
    now_.mirror = nullptr;
    // For another try, unless bodies that are still to be collected may want the memory.
    const auto most = held_bodies::most_collected(snapshot_->settings().limits.buffer_memory_bytes);
    now_.replayable = request_body_.done() && (collected_.size() == 0 || core_.held->collected.used() <= most / 4);
    if (!now_.replayable) drop_request();
    now_.sent_at = now_.dispatched = clock::now();
    unwatched_.arm(base::deadline_wheel::tick_length); // a quick reply costs nothing
    now_.request_whole = request_body_.done() && !now_.replica_write_failed;
    if (request_body_.done() || now_.replica_write_failed)
        replica_reading_.arm(now_.target->settings.request_timeout);
    else {
        if (now_.watching) co_await end_watch();
        now_.uploading = true;
        upload_ended_.emplace(core_.where());
        base::spawn(core_.where(), core_.gate, upload());
    }
    co_return result<void>{};
}

// Mirrored traffic: as far as the body has been collected whole, and memory allows. What becomes of the copy changes
// nothing here.
template <class Stream>
void exchange<Stream>::send_copy_of(std::string_view body) {
    using telemetry::mirror_result;
    const auto head = copied_head_.readable();
    const auto most = held_bodies::most_copied(snapshot_->settings().limits.buffer_memory_bytes);
    const auto leave_out = [this](mirror_result why) {
        now_.mirror->metrics->at(core_.index()).mirrored[static_cast<std::size_t>(why)].add();
    };
    request_copy copy{snapshot_, now_.mirror, now_.verb, {}, {}};
    if (!request_body_.done())
        leave_out(mirror_result::too_large);
    else if (core_.copies >= most_copies)
        leave_out(mirror_result::busy);
    else if (!copy.held.grow_to(head.size() + body.size(), core_.held->copied, most))
        leave_out(mirror_result::no_memory);
    else {
        copy.bytes.reserve(head.size() + body.size());
        copy.bytes.append(head).append(body);
        send_copy(core_, std::move(copy));
    }
}

// The error reply, if anybody is left to read it.
template <class Stream>
task<> exchange<Stream>::answer(failure why) {
    now_.ending = ending::cut;
    if (why.kind == fault::client_gone) co_return;
    reading_.disarm();
    drop_buffered_body();
    const bool unread = !now_.head_parsed || something_unread();
    const bool close = unread || !now_.client_keeps_alive;
    own_reply_ = http::fault_reply(
        why, now_.service != nullptr ? std::string_view(now_.service->name) : std::string_view{},
        {identity_, core_.date(), close, now_.verb == http::method::head, mapping(),
         now_.service != nullptr && !now_.service->cors_origins.empty(), now_.allowed_origin, transport_security()});
    error_code ec;
    const auto sent = client_.stream.write_now(own_reply_, ec);
    now_.bytes_out += own_reply_.size();
    const auto told = co_await send_rest_to_client(std::string_view(own_reply_).substr(sent), ec);
    if (told) now_.ending = unread ? ending::linger : close ? ending::close : ending::keep_alive;
}

// What stands in the buffer of a body that nobody wants, so that the connection can live on if that was all of it.
template <class Stream>
void exchange<Stream>::drop_buffered_body() {
    auto& in = client_.in;
    if (!now_.head_parsed || !something_unread() || in.empty()) return;
    const auto step = request_body_.decode(in.data(), in.size());
    if (!step) {
        refuse_body(step.error());
        return;
    }
    now_.bytes_in += step->consumed;
    in.consume(step->consumed);
}

// How statuses are told to this client.
template <class Stream>
base::error_mapping exchange<Stream>::mapping() const {
    return now_.service != nullptr ? now_.service->error_mapping : base::error_mapping::aks;
}

template <class Stream>
void exchange<Stream>::record(const failure& why) {
    const auto ended = clock::now();
    const auto kind = why.kind != fault::none ? why.kind : now_.passed_on;
    // A fault has its own status until the reply has begun; then the reply's stands, but for a client that left it.
    const bool own_status = why.kind == fault::client_gone || (why.kind != fault::none && !now_.reply_started);
    const auto status = own_status ? base::status(why.kind, mapping()) : now_.status;

    auto& metrics = this->metrics();
    if (now_.service != nullptr) metrics.in_flight.sub();
    if (now_.counts_as_retry) metrics.retrying.sub();
    metrics.requests.add(kind, static_cast<std::uint16_t>(status));
    metrics.request_duration.observe(ended - now_.began);
    metrics.bytes_in.add(now_.bytes_in);
    metrics.bytes_out.add(now_.bytes_out);
    if (kind == fault::client_gone) metrics.client_gone.add();
    if (kind != fault::none || status >= 500) remember(kind, status, ended);
    if (now_.reply_begun != clock::time_point{}) {
        metrics.time_to_first_byte.observe(now_.reply_begun - now_.head_read);
        metrics.overhead.observe(
            (now_.sent_at - now_.head_read - now_.collecting - now_.queued - now_.connecting - now_.tried_in_vain) +
            (now_.reply_begun - now_.reply_seen));
    }
    if (core_.log == nullptr && !trace_) return;

    const std::string_view kept = kept_;
    telemetry::access_record line;
    line.ts = now_.began_at;
    line.request_id = identity_.id.view();
    line.client_request_id = identity_.client.view();
    line.trace_id = identity_.trace.size != 0 ? identity_.trace.trace() : std::string_view{};
    line.client_ip = now_.addresses.substr(0, now_.addresses.find(','));
    line.method = kept.substr(0, now_.method_size);
    line.path = kept.substr(now_.method_size, now_.path_size);
    line.protocol = now_.head_parsed ? now_.minor_version == 1 ? "HTTP/1.1" : "HTTP/1.0" : "";
    if (now_.service != nullptr) line.service = now_.service->name;
    if (now_.target != nullptr) line.deployment = now_.target->name;
    line.replica = replica_name_;
    line.status = static_cast<std::uint16_t>(status);
    line.fault = kind;
    line.model_status = static_cast<std::uint16_t>(now_.model_status);
    line.bytes_in = now_.bytes_in;
    line.bytes_out = now_.bytes_out;
    line.duration = ended - now_.began;
    if (now_.head_parsed) line.read = now_.head_read - now_.began;
    if (now_.attempts != 0 || now_.queued != clock::duration{}) line.queue = now_.queued;
    if (now_.attempts != 0) line.connect = now_.connecting;
    if (now_.model_status != 0) line.first_byte = now_.reply_seen - now_.dispatched;
    line.attempts = now_.attempts;
    line.tls_cipher = client_.cipher;
    line.sni = client_.sni;
    if (Stream::is_tls) line.resumed = client_.resumed;
    line.user_agent = kept.substr(now_.method_size + now_.path_size);
    line.auth = now_.auth;
    if (trace_) record_trace(line, ended);
    if (core_.log != nullptr) core_.log->write(line);
}

// For the operator's page: only what has failed comes here.
template <class Stream>
void exchange<Stream>::remember(fault kind, unsigned status, clock::time_point ended) {
    telemetry::failed_request one;
    one.at = now_.began_at + std::chrono::duration_cast<std::chrono::system_clock::duration>(ended - now_.began);
    one.fault = kind;
    one.status = static_cast<std::uint16_t>(status);
    one.request_id = decltype(one.request_id)(identity_.id.view());
    if (now_.service != nullptr) one.service = decltype(one.service)(now_.service->name);
    if (now_.target != nullptr) one.deployment = decltype(one.deployment)(now_.target->name);
    one.replica = decltype(one.replica)(replica_name_);
    core_.errors.add(one);
}

} // namespace scoregate::proxy

#include "proxy/exchange_decide.ipp"
#include "proxy/exchange_reply.ipp"
#include "proxy/exchange_retry.ipp"
#include "proxy/exchange_slot.ipp"
#include "proxy/exchange_trace.ipp"
#include "proxy/exchange_upload.ipp"
#include "proxy/exchange_wait.ipp"
#include "proxy/exchange_watch.ipp"

namespace scoregate::proxy {

template class exchange<base::plain_stream>;
template class exchange<tls::stream>;

} // namespace scoregate::proxy
