#include "fuzz/must.hpp"
#include "fuzz/properties.hpp"
#include "http/body.hpp"

#include <algorithm>
#include <memory>
#include <string>

namespace scoregate::fuzz {

using namespace http;
using kind = body_framing::kind;

void chunked_body(input bytes) {
    if (bytes.size() < 2) return;
    const std::size_t first = bytes[0] % 16 + 1U, then = bytes[1] % 16 + 1U;
    bytes = bytes.subspan(2);

    struct outcome {
        bool accepted = true, done = false;
        std::string payload{};
        std::size_t consumed = 0;
        bool operator==(const outcome&) const = default;
    };
    const auto decode = [](input all, std::size_t step, std::size_t next) {
        outcome made;
        body_decoder decoder(body_framing{kind::chunked, 0});
        while (made.consumed < all.size() && !decoder.done()) {
            const auto size = std::min(step, all.size() - made.consumed);
            const auto piece = std::make_unique<char[]>(size); // of its own, so that a byte too far is seen
            std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(made.consumed), size, piece.get());
            const auto taken = decoder.decode(piece.get(), size);
            if (!taken) {
                made.accepted = false;
                return made;
            }
            must(taken->consumed <= size && taken->payload <= taken->consumed, "no more comes out than went in");
            must(taken->consumed == size || decoder.done(), "everything is taken until the end");
            made.payload.append(piece.get(), taken->payload);
            made.consumed += taken->consumed;
            std::swap(step, next);
        }
        made.done = decoder.done();
        return made;
    };
    const auto whole = decode(bytes, bytes.size() + 1, 1);
    const auto pieces = decode(bytes, first, then);
    must(whole.accepted == pieces.accepted, "accepted whole, so accepted in pieces");
    if (!whole.accepted) return;
    must(whole == pieces, "the same body in any pieces");

    // A second reading of what was accepted: only sizes, CRLF and the last chunk, found with find().
    if (whole.done) {
        const std::string_view all(reinterpret_cast<const char*>(bytes.data()), whole.consumed);
        std::string payload;
        std::size_t at = 0;
        for (;;) {
            const auto line_end = all.find("\r\n", at);
            must(line_end != std::string_view::npos, "a chunk begins with a line");
            const auto line = all.substr(at, line_end - at);
            const auto digits = line.find_first_not_of("0123456789abcdefABCDEF");
            const auto size = std::strtoull(std::string(line.substr(0, digits)).c_str(), nullptr, 16);
            if (digits != std::string_view::npos) {
                const auto behind = line.find_first_not_of(" \t", digits);
                must(behind == std::string_view::npos || line[behind] == ';', "behind a size stands an extension");
            }
            at = line_end + 2;
            if (size == 0) break;
            must(size <= all.size() - at && all.substr(at + size, 2) == "\r\n", "a chunk is as long as it says");
            payload += all.substr(at, size);
            at += size + 2;
        }
        must(payload == whole.payload, "the payload is the chunks, one behind the other");
        must(all.substr(at) == "\r\n" || all.ends_with("\r\n\r\n"), "a body ends with an empty line");
    }

    // What was taken out can be framed again.
    const auto room = std::make_unique<char[]>(whole.payload.size() + 17);
    std::copy(whole.payload.begin(), whole.payload.end(), room.get() + 10);
    const auto framed = frame_chunk(room.get() + 10, whole.payload.size(), true);
    const auto again = decode({reinterpret_cast<const std::uint8_t*>(framed.data()), framed.size()}, 7, 3);
    must(again.done && again.consumed == framed.size() && again.payload == whole.payload,
         "framed again, the same body");
}

} // namespace scoregate::fuzz
