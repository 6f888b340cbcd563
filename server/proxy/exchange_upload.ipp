// The request's body on its way to the replica, as a coroutine of its own: the reply may begin before the body has
// ended. Included by exchange.cpp alone, which instantiates it.
#pragma once

#include "proxy/exchange.hpp"

namespace scoregate::proxy {

inline constexpr auto body_paused = "the body paused for longer than timeouts.body_idle_ms";

// Nothing that this connection brings from here on is a request: where the body ends is not known, and what stands in
// the buffer has been decoded in part.
template <class Stream>
failure exchange<Stream>::refuse_body(failure why) {
    client_.in.clear();
    now_.body_refused = true;
    return why;
}

// Decodes what stands in client.in and frames it for the replica, in place. Valid until client.in is read into again.
template <class Stream>
result<std::string_view> exchange<Stream>::next_piece() {
    auto& in = client_.in;
    if (request_body_.done() || in.empty()) return std::string_view{};
    const auto step = request_body_.decode(in.data(), in.size());
    if (!step) return refuse_body(step.error());
    now_.bytes_in += step->consumed;
    now_.body_bytes += step->payload;
    const auto most = snapshot_->settings().limits.max_request_bytes;
    if (now_.body_bytes > most || request_body_.known_remaining() > most - now_.body_bytes)
        return refuse_body(fail(fault::body_too_large, "", most));
    const auto piece = request_body_.chunked() ? http::frame_chunk(in.data(), step->payload, request_body_.done())
                                               : std::string_view(in.data(), step->payload);
    in.consume(step->consumed);
    return piece;
}

// More of it into client.in, which is empty.
template <class Stream>
task<result<void>> exchange<Stream>::read_body() {
    auto& in = client_.in;
    const auto began = clock::now();
    reading_.arm(timeouts().body_idle);
    while (in.empty()) {
        in.reserve();
        const auto room = in.writable();
        if (error_code ignored; client_.stream.buffered()) {
            in.commit(client_.stream.read_now(room, ignored)); // an error is met again
            if (!in.empty()) break;
        }
        cooling_.arm(hot_time);
        auto [ec, n] = co_await client_.stream.async_read_some(asio::buffer(room.data(), room.size()), awaited);
        const bool cold = cooling_.fired();
        cooling_.disarm();
        if (ec == asio::error::operation_aborted && cold && !reading_.fired() && !now_.stop_upload)
            ec = co_await await_client();
        if (now_.stop_upload) co_return result<void>{};
        if (ec) co_return client_failure(body_paused);
        in.commit(n);
    }
    reading_.disarm();
    if (too_slow(in.size(), clock::now() - began))
        co_return fail(fault::client_timeout, "the body came slower than limits.min_body_rate");
    co_return result<void>{};
}

// That out_ has a block of that size, or is to have. Those that every request has do not count.
template <class Stream>
result<void> exchange<Stream>::account_for(std::size_t block) {
    const auto most = held_bodies::most_collected(snapshot_->settings().limits.buffer_memory_bytes);
    if (block <= base::buffer_pool::small_block || collected_.grow_to(block, core_.held->collected, most)) return {};
    auto why = fail(fault::overloaded, "limits.buffer_memory_bytes are in use");
    why.retry_after = 1;
    return why;
}

// Behind the head in out_, until it is whole or limits.request_buffer_bytes of it are there. What that takes
// beyond the block that every request has is taken from limits.buffer_memory_bytes.
template <class Stream>
task<result<void>> exchange<Stream>::collect_body() {
    const auto& limits = snapshot_->settings().limits;
    auto& in = client_.in;
    while (!request_body_.done() && now_.body_bytes < limits.request_buffer_bytes) {
        if (in.empty()) {
            if (const auto to_come = request_body_.known_remaining(); to_come > base::buffer_pool::small_block) {
                if constexpr (Stream::is_tls)
                    client_.stream.read_in_bulk(to_come);
                else
                    in.reserve_stride(to_come);
            }
            const auto read = co_await read_body();
            if (!read) co_return read.error();
        }
        const auto needed = out_.size() + in.size() + base::buffer::headroom + base::buffer::tailroom;
        if (needed > out_.capacity()) {
            const auto whole = std::min<std::uint64_t>(request_body_.known_remaining(), limits.request_buffer_bytes);
            // A chunked body's length is not known: twice as much each time, not a block more.
            const auto size =
                std::max<std::uint64_t>({needed + whole, 2 * out_.capacity(), base::buffer_pool::bulk_block});
            if (const auto held = account_for(size); !held) co_return held.error();
            out_.reserve(size - base::buffer::headroom - base::buffer::tailroom);
        }
        const auto piece = next_piece();
        if (!piece) co_return piece.error();
        out_.append(*piece);
    }
    if constexpr (Stream::is_tls) client_.stream.read_as_usual(); // while the model works, others may have the stride
    co_return result<void>{};
}

template <class Stream>
task<> exchange<Stream>::upload() {
    const auto uploaded = co_await upload_rest();
    if (!uploaded) {
        upload_failure_ = uploaded.error();
        cancel_replica(this); // the reply is awaited in vain now
    } else if (!now_.reply_started)
        replica_reading_.arm(now_.target->settings.request_timeout);
    now_.uploading = false;
    upload_ended_->tell();
}

template <class Stream>
task<result<void>> exchange<Stream>::upload_rest() {
    auto& in = client_.in;
    while (!request_body_.done() && !now_.stop_upload) {
        if (const auto to_come = request_body_.known_remaining(); to_come > base::buffer_pool::small_block) {
            in.reserve_stride(to_come);
            if constexpr (Stream::is_tls) client_.stream.read_in_bulk(to_come);
        }
        if (in.empty()) {
            const auto read = co_await read_body();
            if (!read) co_return read.error();
            if (now_.stop_upload) break;
        }
        const auto piece = next_piece();
        if (!piece) co_return piece.error();
        base::error_code ec;
        const auto sent = replica_->write_now(*piece, ec);
        if (ec || sent < piece->size()) {
            const auto rest = co_await send_rest_to_replica(piece->substr(sent), ec);
            if (now_.stop_upload) break;
            if (!rest) {
                now_.replica_write_failed = true; // it may have answered before it closed: the reply is still read
                if (rest.error().kind != fault::replica_closed) co_return rest.error();
                break;
            }
        }
    }
    now_.request_whole = request_body_.done() && !now_.stop_upload && !now_.replica_write_failed;
    now_.dispatched = clock::now();
    co_return result<void>{};
}

// The reply is complete, or the exchange has failed: nobody wants the rest of the body.
template <class Stream>
task<> exchange<Stream>::end_upload() {
    now_.stop_upload = true;
    cancel_client(this);
    cancel_replica(this);
    reading_.arm(std::chrono::milliseconds(0)); // again and again: what has just come may have it wait once more
    while (now_.uploading) co_await upload_ended_->async_wait(awaited);
    reading_.disarm();
}

// Once a replica is taken, or past limits.request_buffer_bytes, a client must keep limits.min_body_rate, over windows
// of 10 s of waiting for it. The time that the replica takes to read is not the client's. Before that its pauses
// together may be as long as one may be, or a byte now and then would keep the connection for days.
template <class Stream>
bool exchange<Stream>::too_slow(std::size_t received, clock::duration waited) {
    const auto& limits = snapshot_->settings().limits;
    const auto rate = limits.min_body_rate;
    if (rate == 0) return false;
    const auto whole = now_.body_bytes + received;
    if (!slot_ && whole < limits.request_buffer_bytes) {
        now_.uploading_for += waited;
        return now_.uploading_for > timeouts().body_idle + std::chrono::milliseconds(whole * 1000 / rate);
    }
    now_.body_pace.add(received, waited);
    return now_.body_pace.too_slow(rate);
}

} // namespace scoregate::proxy
