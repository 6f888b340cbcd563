#include "fuzz/heads.hpp"
#include "fuzz/lenient_readers.hpp"
#include "fuzz/properties.hpp"
#include "http/body.hpp"

#include <string>
#include <vector>

namespace scoregate::fuzz {

namespace {

using namespace http;
using kind = body_framing::kind;

// What a replica gets of one request.
struct passed_on {
    std::string bytes, payload;
};

std::string framed(const std::string& payload, bool chunked) {
    if (!chunked) return payload;
    std::string room(10, '\0');
    room.append(payload).append(17, '\0');
    return std::string(frame_chunk(room.data() + 10, payload.size(), true));
}

// The request at the front of `rest`, which is taken off it. Nothing if it is refused or not all there.
std::optional<passed_on> pass_on(std::string_view& rest) {
    const auto found = find(rest);
    http::request_head head;
    if (!found || !head.parse(*found, limits)) return std::nullopt;
    const lenient_framing meant{head.body.how == kind::chunked, head.body.length};
    for (const auto& each : frame_leniently(*found)) must(each == meant, "one framing, however sloppily it is read");

    std::string body(rest.substr(found->size()));
    body_decoder decoder(head.body);
    const auto step = decoder.decode(body.data(), body.size());
    if (!step || !decoder.done()) return std::nullopt;
    must(head.body.how == kind::chunked || step->consumed == head.body.length, "a length is what it says");

    base::buffer_pool pool;
    base::buffer out(pool);
    const std::string_view host = head.host.empty() ? "iris" : head.host;
    constexpr std::string_view path = "/score";
    out.reserve(room_for(head, path, host));
    write_request_head(out, head, path, host, {"203.0.113.7", "https", head.host},
                       identity(head.client_request_id, head.traceparent));
    passed_on made{std::string(out.readable()), body.substr(0, step->payload)};
    made.bytes += framed(made.payload, head.body.how == kind::chunked);
    rest.remove_prefix(found->size() + step->consumed);
    return made;
}

// A chunked body as plainly as it can be written: digits, CRLF, payload, CRLF; no extension, no trailer.
std::optional<std::string> read_chunks(std::string_view& bytes) {
    std::string payload;
    for (;;) {
        const auto end = bytes.find("\r\n");
        if (end == std::string_view::npos || end == 0 || end > 16) return std::nullopt;
        std::size_t size = 0;
        for (const char c : bytes.substr(0, end)) {
            const auto digit = std::string_view("0123456789abcdef").find(c);
            if (digit == std::string_view::npos) return std::nullopt;
            size = size * 16 + digit;
        }
        bytes.remove_prefix(end + 2);
        if (size > bytes.size() || bytes.substr(size, 2) != "\r\n") return std::nullopt;
        payload += bytes.substr(0, size);
        bytes.remove_prefix(size + 2);
        if (size == 0) return payload;
    }
}

} // namespace

void exchange(input bytes) {
    std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    std::vector<std::string> payloads;
    std::string sent;
    while (auto one = pass_on(rest)) {
        sent += one->bytes;
        payloads.push_back(std::move(one->payload));
    }

    // The replica's side of it, by the strict reader.
    std::string_view left = sent;
    for (const auto& payload : payloads) {
        const auto head = read_strictly(left);
        must(head.has_value(), "a replica finds a head where one is meant");
        left.remove_prefix(head->size);
        const auto framing = frame_strictly(*head);
        must(framing.has_value(), "with one framing");
        if (framing->chunked) {
            const auto body = read_chunks(left);
            must(body && *body == payload, "and the chunks that were meant");
            continue;
        }
        const auto length = framing->length.value_or(0);
        must(length == payload.size() && left.substr(0, length) == payload, "and the body that was meant");
        left.remove_prefix(length);
    }
    must(left.empty(), "and not a byte beside them");
}

} // namespace scoregate::fuzz
