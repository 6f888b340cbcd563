// Waits for either socket: what is held meanwhile, what is sent, and which deadline ended a wait. Included by
// exchange.cpp alone, which instantiates it.
#pragma once

#include "proxy/exchange.hpp"

#include <sys/socket.h>

namespace scoregate::proxy {

// A client that makes us wait holds nothing that is not needed for it.
template <class Stream>
void exchange<Stream>::trim_client() {
    if (client_.in.empty()) client_.in.release();
    if (out_.empty()) out_.release();
    client_.stream.release_buffers();
}

// What the kernel has for a client that does not read would stay there for minutes after the connection has been closed
// in good order.
template <class Stream>
void exchange<Stream>::forsake_client() {
    const ::linger reset{1, 0};
    ::setsockopt(client_.stream.socket().native_handle(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

template <class Stream>
task<error_code> exchange<Stream>::await_client() {
    if (client_.stream.buffered()) co_return error_code{};
    trim_client();
    const auto [ec] = co_await client_.stream.socket().async_wait(base::socket::wait_read, awaited);
    co_return ec;
}

// Whether what cancelled the client's socket only meant the read of the upload, which is to wait without buffers.
template <class Stream>
bool exchange<Stream>::was_for_the_upload() const {
    return !reading_.fired() && !writing_.fired() && given_up().kind == fault::none;
}

// A client that reads slowly may take for minutes what makes the kernel tell of room to write. So what it has taken is
// not known from that: it is looked at, when its time may be up.
template <class Stream>
void exchange<Stream>::begin_wait_for_reader() {
    too_slow_by_ = nullptr;
    looked_at_ = clock::now();
    look_at_reader();
    moved_at_ = looked_at_;
    arm_next_look();
}

template <class Stream>
void exchange<Stream>::end_wait_for_reader() {
    reply_pace_.add(0, clock::now() - looked_at_);
}

// Whether it has taken anything since the last time. All since then was spent waiting for it.
template <class Stream>
bool exchange<Stream>::look_at_reader() {
    const auto at = clock::now();
    const auto taken = std::max(client_.stream.taken(), taken_); // what is on its way may not be counted as sent yet
    const auto more = taken - taken_;
    reply_pace_.add(more, at - looked_at_);
    looked_at_ = at;
    taken_ = taken;
    return more != 0;
}

// By timeouts.stream_idle for each pause, and by limits.min_reply_rate.
template <class Stream>
bool exchange<Stream>::reads_too_slowly() {
    if (look_at_reader()) moved_at_ = looked_at_;
    if (looked_at_ - moved_at_ >= timeouts().stream_idle)
        too_slow_by_ = "the reply was not read within timeouts.stream_idle_ms";
    else if (reply_pace_.too_slow(snapshot_->settings().limits.min_reply_rate))
        too_slow_by_ = "the reply was read slower than limits.min_reply_rate";
    return too_slow_by_ != nullptr;
}

template <class Stream>
void exchange<Stream>::arm_next_look() {
    const auto pause = std::chrono::floor<std::chrono::milliseconds>(looked_at_ - moved_at_);
    writing_.arm(std::min(timeouts().stream_idle - pause, reply_pace_.left()));
}

// Of writing_. Once it has been given up, that is all it is told, again and again.
template <class Stream>
void exchange<Stream>::judge_reader(void* self) {
    auto& one = *static_cast<exchange*>(self);
    if (one.too_slow_by_ != nullptr || one.reads_too_slowly())
        cancel_client(self);
    else
        one.arm_next_look();
}

template <class Stream>
task<result<void>> exchange<Stream>::send_rest_to_client(std::string_view rest, error_code ec) {
    if (!ec && !rest.empty()) {
        begin_wait_for_reader();
        if (out_.empty()) out_.release();
        if (!now_.uploading && !now_.watching) trim_client(); // or it is being read
        while (!ec && !rest.empty()) {
            const auto [failed, n] = co_await client_.stream.async_write_some(asio::buffer(rest), awaited);
            ec = failed;
            rest.remove_prefix(n);
            if (ec == asio::error::operation_aborted && was_for_the_upload()) {
                ec = {};
                continue;
            }
        }
        end_wait_for_reader();
    }
    const auto why = ec ? client_failure(too_slow_by_ != nullptr ? too_slow_by_ : body_paused) : failure{};
    // Not when the rest went after all, as the time was up.
    if (ec && (writing_.fired() || total_.fired())) forsake_client();
    writing_.disarm();
    if (ec) co_return why;
    co_return result<void>{};
}

template <class Stream>
task<result<void>> exchange<Stream>::send_rest_to_replica(std::string_view rest, error_code ec) {
    if (!ec && !rest.empty()) {
        // Once the reply has begun the replica may well wait for a client that does not read.
        const auto pause = [this] {
            return now_.reply_started ? timeouts().stream_idle : now_.target->settings.request_timeout;
        };
        replica_writing_.arm(pause());
        while (!ec && !rest.empty()) {
            if (aborted_ || now_.stop_upload) ec = asio::error::operation_aborted; // while nothing was awaited
            if (ec) break;
            const auto [failed, n] = co_await replica_->async_write_some(asio::buffer(rest), awaited);
            ec = failed;
            rest.remove_prefix(n);
            if (!ec) replica_writing_.arm(pause());
        }
    }
    const auto why = ec ? replica_failure(fault::replica_closed) : failure{};
    replica_writing_.disarm();
    if (ec) co_return why;
    co_return result<void>{};
}

// Which deadline made a wait on the client's socket fail, or that the client did.
template <class Stream>
failure exchange<Stream>::client_failure(const char* waited_for) const {
    if (const auto why = given_up(); why.kind != fault::none) return why;
    if (reading_.fired() || writing_.fired()) return fail(fault::client_timeout, waited_for);
    return fail(fault::client_gone);
}

template <class Stream>
failure exchange<Stream>::replica_failure(fault otherwise) const {
    if (upload_failure_.kind != fault::none && !aborted_) return upload_failure_;
    if (const auto why = given_up(); why.kind != fault::none) return why;
    if (replica_writing_.fired()) return fail(fault::replica_stalled);
    if (replica_reading_.fired()) return fail(now_.reply_started ? fault::stream_idle_timeout : fault::request_timeout);
    return fail(otherwise);
}

} // namespace scoregate::proxy
