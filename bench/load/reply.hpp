// Reads one HTTP/1.1 reply in any slicing and knows what it was: status, length of its body, where it ends. No I/O.
// Interim replies (1xx) are passed over. It is strict where a proxy could be wrong: what cannot be read is `broken`.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace load {

class reply {
public:
    // Takes what belongs to the reply off the front of `bytes` and returns the next piece of body in it, which lives as
    // long as `bytes` do. To be called until `bytes` is empty or the reply is whole or broken.
    std::string_view take(std::string_view& bytes);

    // The connection has ended. It makes a reply whole that has no other end (RFC 9112 6.3); any other is broken.
    void end();

    bool whole() const { return part_ == part::whole; }
    bool broken() const { return part_ == part::broken; }
    int status() const { return status_; }
    std::size_t body_bytes() const { return body_bytes_; }
    bool is_event_stream() const { return event_stream_; }
    bool closes() const { return closes_; } // the server will not answer another request on this connection

private:
    enum class part { head, sized, until_end, chunk_size, chunk_data, chunk_end, trailer, whole, broken };

    bool take_line(std::string_view& bytes);
    void read_head_line();
    void read_status_line();
    void end_head();
    void read_chunk_size();
    std::string_view take_body(std::string_view& bytes);

    part part_ = part::head;
    std::string line_; // of the head or between chunks, as far as it has come
    int status_ = 0;   // 0: the status line has not been read
    std::optional<std::size_t> content_length_;
    bool chunked_ = false, closes_ = false, event_stream_ = false;
    std::size_t left_ = 0; // of the body or of the chunk
    std::size_t body_bytes_ = 0;
};

} // namespace load
