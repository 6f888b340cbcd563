// Bodies of HTTP/1.1 messages: decoding whatever framing came in, encoding the one that goes out. Strict (RFC 9112 6,
// 7). Works in place on the bytes of a buffer; no I/O, no allocation.
#pragma once

#include "http/head.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace scoregate::http {

class body_decoder {
public:
    body_decoder() = default;
    explicit body_decoder(const body_framing& framing);

    struct step {
        std::size_t consumed = 0; // bytes of the input that are done with
        std::size_t payload = 0;  // bytes of body, moved to the front of the input
    };
    // Takes what it can of `size` bytes at `bytes`. Chunk framing is taken out and the payload moved together; chunk
    // extensions and trailers are checked (trailers as fields are), bounded and dropped. A bad chunk is a failure with
    // fault::bad_request.
    result<step> decode(char* bytes, std::size_t size);

    bool done() const { return state_ == state::done; }
    // True if the end of the stream is the end of the body (close-delimited), rather than a truncation.
    bool ends_with_stream() const { return state_ == state::until_close; }
    bool has_body() const { return has_body_; }
    bool chunked() const { return chunked_; }
    // Bytes of payload still to come, as far as the current framing says: whole body or chunk. None of a chunk whose
    // size has not come whole, which may yet turn out to be no number.
    std::uint64_t known_remaining() const { return state_ == state::length || state_ == state::data ? remaining_ : 0; }

private:
    enum class state : std::uint8_t {
        done,
        length,
        until_close,
        size_first, // chunk-size, no digit yet
        size,
        size_space, // behind the digits
        extension,
        size_lf,
        data,
        data_cr,
        data_lf,
        trailer_start,
        trailer_name,
        trailer,
        trailer_lf,
        end_lf,
    };
    result<void> chunk_byte(char c);

    static constexpr std::size_t most_framing = 8192; // extensions and trailers of one body together

    state state_ = state::done;
    bool has_body_ = false, chunked_ = false;
    std::uint8_t size_digits_ = 0; // 16 at most: leading zeros must end too
    std::uint64_t remaining_ = 0;
    std::size_t framing_bytes_ = 0;
};

// Writes the chunk framing around a payload of `size` bytes (RFC 9112 7.1): the size line right before `payload`, CRLF
// and, for the last one, the closing chunk right behind. Room needed: 10 bytes before, 7 behind. Returns the whole.
// Nothing is written around an empty payload, where the next message may stand: then it is a constant closing chunk, or
// nothing.
std::string_view frame_chunk(char* payload, std::size_t size, bool last);

} // namespace scoregate::http
