// HTTP/1.1 as the tests' clients and replicas see it: bytes exactly as they came, and a plain reading of them that
// shares no code with the product. Whoever reads owns an inbox; one thread at a time.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace scoregate::tests {

// How long a test waits for what must happen: long enough for a busy machine, reached only when it is broken.
inline constexpr std::chrono::seconds patience{20};

// Something that one thread does once and others wait for.
class event {
public:
    void set();
    bool happened() const;
    void wait() const; // throws wire_error after `patience`

private:
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    bool set_ = false;
};

class wire_error : public std::runtime_error {
    using runtime_error::runtime_error;
};
// The peer has ended the connection.
class wire_ended : public wire_error {
    using wire_error::wire_error;
};

struct message {
    std::string head; // as it came, its empty line included; empty if none came
    std::string first_line;
    std::vector<std::pair<std::string, std::string>> fields; // name as it came, value trimmed
    std::string body;                                        // without chunk framing
    std::vector<std::string> chunks;                         // as they were framed
    std::vector<std::string> interims;                       // heads of 1xx replies that came before
    bool whole = false;                                      // it ended where its framing said

    unsigned status() const; // 0 if there is none
    std::size_t count(std::string_view name) const;
    std::string field(std::string_view name) const; // values joined by ", "; empty if absent
    bool has(std::string_view name) const { return count(name) != 0; }
};

message parse_head(std::string head);

// Bytes of one connection in the order they came, and what is made of them.
class inbox {
public:
    virtual ~inbox() = default;

    // What is there, at least one byte of it; empty at the end of the stream.
    std::string read_some();
    std::string read_exactly(std::size_t size);    // throws wire_ended
    std::string read_until(std::string_view mark); // `mark` included; throws wire_ended
    std::string read_to_end();
    // The body that `of` announces. False if the stream ended before.
    bool read_body(message& of, bool until_end = false);
    // Waits until `mark` is among what is unread, and takes nothing; throws wire_ended.
    void await(std::string_view mark);
    // Waits for more than is unread; false at the end of the stream.
    bool await_more() { return receive(); }
    const std::string& unread() const { return bytes_; }

protected:
    // Appends to bytes_; false at the end of the stream. Throws wire_error after `patience`.
    virtual bool receive() = 0;
    std::string bytes_;
};

// Waits until `descriptor` has one of `events` (poll(2)); throws wire_error after `patience`.
short wait_for(int descriptor, short events);

std::string in_chunks(std::string_view body, std::size_t chunk_size, bool closed = true);
// Bytes that show when one of them is lost, doubled or moved.
std::string pattern(std::size_t size);

} // namespace scoregate::tests
