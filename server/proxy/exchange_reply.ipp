// The reply on its way from the replica to the client: its head rewritten, its body passed on as it arrives.
// Included by exchange.cpp alone, which instantiates it.
#pragma once

#include "proxy/exchange.hpp"

namespace scoregate::proxy {

inline constexpr auto room_for_framing = base::buffer::headroom + base::buffer::tailroom;

template <class Stream>
task<result<void>> exchange<Stream>::read_reply_head() {
    reply_.clear();
    reply_.reserve();
    now_.scanned = 0;
    for (;;) {
        if (upload_failure_.kind != fault::none || given_up().kind != fault::none)
            co_return replica_failure(fault::replica_closed); // told while nothing was awaited
        if (reply_.writable().empty()) reply_.compact();
        if (reply_.writable().empty()) reply_.reserve(snapshot_->head_limits().bytes);
        // With so much less, what begins the body fits behind the head in an ordinary block of out_.
        auto room = reply_.writable();
        if (reply_.empty()) room = room.first(room.size() - http::room_for_ours - room_for_framing);
        const auto [ec, n] = co_await replica_->async_read_some(asio::buffer(room.data(), room.size()), awaited);
        if (ec) {
            // Over TLS that is also what a connection that ends without close_notify comes to.
            now_.was_reset = ec == asio::error::connection_reset && !replica_->is_secure();
            co_return replica_failure(fault::replica_closed);
        }
        reply_.commit(n);
        for (;;) {
            const auto found = find_reply();
            if (!found) co_return found.error();
            if (*found && (now_.turned_away || now_.model_status >= 200)) co_return result<void>{};
            if (!*found) break;
            const auto interim = out_.readable();
            error_code failed;
            const auto sent = client_.stream.write_now(interim, failed);
            const auto told = co_await send_rest_to_client(interim.substr(sent), failed);
            if (!told) co_return told.error();
        }
    }
}

// True once a whole head has been taken out of reply_ and its rewritten form stands in out_; or if it turns
// the request away, and then it stays where it is.
template <class Stream>
result<bool> exchange<Stream>::find_reply() {
    constexpr unsigned most_interim_replies = 16;
    const auto end = http::find_head_end(reply_.readable(), now_.scanned, snapshot_->head_limits());
    if (!end)
        return fail(fault::replica_bad_response, end.error().kind == fault::bad_request
                                                     ? end.error().detail
                                                     : "its head is over limits.max_header_bytes");
    if (!*end) {
        const auto begin = reply_.readable().substr(0, 7);
        if (now_.scanned == reply_.size() && !std::string_view("HTTP/1.").starts_with(begin))
            return fail(fault::replica_bad_response, "no status line");
        return false;
    }
    auto& head = core_.response;
    const auto parsed = head.parse(reply_.readable().substr(0, **end), snapshot_->head_limits(), now_.verb);
    if (!parsed) return parsed.error();
    now_.turned_away = turns_away(head.status);
    if (now_.turned_away) {
        now_.reply_seen = clock::now();
        now_.scanned = 0;
        if (trace_) last_model()->status = head.status;
        return true;
    }
    now_.model_status = head.status;
    now_.replayable = false;
    now_.replica_reusable &= head.keep_alive;
    drop_request();
    out_.reserve(http::room_for(head) + reply_.size() - **end + room_for_framing);
    if (head.status >= 200)
        begin_reply();
    else {
        if (head.status == 101) return fail(fault::replica_bad_response, "it switches protocols unasked");
        if (++now_.interim_replies > most_interim_replies)
            return fail(fault::replica_bad_response, "more than 16 interim replies");
        // 100 was for us: Expect is not sent on. HTTP/1.0 knows no 1xx (RFC 9110 15.2).
        if (head.status != 100 && now_.minor_version == 1) http::write_interim_head(out_, head);
    }
    reply_.consume(**end);
    now_.scanned = 0;
    return true;
}

// What the client gets as an error of ours, so that our own 500 stays distinguishable from the model's.
inline bool is_model_error(unsigned status, base::error_mapping how) {
    switch (how) {
    case base::error_mapping::aks: return status == 500;
    case base::error_mapping::managed: return (status < 200 || status > 299) && status != 304;
    case base::error_mapping::passthrough: return false;
    }
    return false;
}

// Decides status and framing towards the client and writes the head.
template <class Stream>
void exchange<Stream>::begin_reply() {
    using kind = http::body_framing::kind;
    const auto& head = core_.response;
    if (now_.reply_seen == clock::time_point{}) now_.reply_seen = clock::now();
    now_.reply_head_seen = true;
    now_.status = head.status;
    if (is_model_error(head.status, mapping())) {
        now_.passed_on = fault::model_error;
        now_.status = base::status(fault::model_error, mapping());
    }
    now_.replica_idle_limit = head.idle_limit;
    reply_body_ = http::body_decoder(head.body);
    auto& framing = now_.framing;
    framing.body = head.body;
    if (head.body.how == kind::chunked || head.body.how == kind::until_close)
        framing.body.how = now_.minor_version == 1 ? kind::chunked : kind::until_close;
    framing.close = !now_.client_keeps_alive || core_.draining() || client_.finishing || something_unread() ||
                    framing.body.how == kind::until_close;
    framing.announce_keep_alive = !framing.close && now_.minor_version == 0;
    const http::timings spent{now_.queued, now_.connecting, now_.reply_seen - now_.dispatched};
    const bool managed_error = now_.passed_on != fault::none && mapping() == base::error_mapping::managed;
    http::reply_marks marks{base::token(now_.passed_on), managed_error, !now_.service->cors_origins.empty(),
                            now_.allowed_origin};
    // In clear nobody may say it (RFC 6797 7.2).
    if (!Stream::is_tls || !snapshot_->transport_security().empty()) marks.transport_security = transport_security();
    http::write_reply_head(out_, head, now_.status, marks, framing, now_.target->name, core_.date(), spent, identity_);
}

// Frames `payload` bytes at the front of reply_ for the client.
template <class Stream>
std::string_view exchange<Stream>::next_reply_piece(std::size_t payload, bool last) {
    if (now_.framing.body.how == http::body_framing::kind::chunked)
        return http::frame_chunk(reply_.data(), payload, last);
    return {reply_.data(), payload};
}

template <class Stream>
task<result<void>> exchange<Stream>::relay_reply() {
    if (replica_writing_.armed()) replica_writing_.arm(timeouts().stream_idle); // see send_rest_to_replica
    now_.reply_begun = clock::now();
    bool ended = reply_body_.done();
    for (;;) {
        // What is there of the body; the first of it leaves with the head.
        http::body_decoder::step step;
        if (!reply_.empty() && !reply_body_.done()) {
            const auto decoded = reply_body_.decode(reply_.data(), reply_.size());
            if (!decoded)
                co_return now_.reply_started ? fail(fault::stream_broken)
                                             : fail(fault::replica_bad_response, decoded.error().detail);
            step = *decoded;
            ended = reply_body_.done();
        }
        auto piece = next_reply_piece(step.payload, ended && reply_body_.has_body());
        if (!out_.empty()) {
            out_.append(piece);
            piece = out_.readable();
        }
        reply_.consume(step.consumed); // its bytes stay where they are until the next read
        if (ended && !now_.uploading) {
            now_.reply_complete = true;
            leave_replica({}); // before the client takes it: somebody may be waiting for the slot
        }
        now_.reply_started = true;
        error_code ec;
        const auto sent = client_.stream.write_now(piece, ec);
        now_.bytes_out += piece.size();
        if (ec || sent < piece.size()) {
            replica_reading_.disarm(); // while the client does not read, the replica is not waited for
            const auto rest = co_await send_rest_to_client(piece.substr(sent), ec);
            if (!rest) co_return rest.error();
        }
        out_.clear();
        if (ended) break;
        if (upload_failure_.kind != fault::none || given_up().kind != fault::none)
            co_return replica_failure(fault::stream_broken);

        if (const auto to_come = reply_body_.known_remaining(); to_come > base::buffer_pool::small_block) {
            reply_.reserve_stride(to_come);
            replica_->read_in_bulk(to_come);
        }
        replica_reading_.arm(timeouts().stream_idle);
        const auto room = reply_.writable();
        const auto [failed, n] = co_await replica_->async_read_some(asio::buffer(room.data(), room.size()), awaited);
        reply_.commit(n);
        if (failed == asio::error::eof && reply_body_.ends_with_stream() && upload_failure_.kind == fault::none)
            ended = true;
        else if (failed)
            co_return replica_failure(fault::stream_broken);
    }
    now_.reply_complete = true;
    const bool unread = now_.uploading || something_unread();
    now_.ending = unread ? ending::linger : now_.framing.close ? ending::close : ending::keep_alive;
    co_return result<void>{};
}

} // namespace scoregate::proxy
