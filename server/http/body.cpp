#include "http/body.hpp"

#include "http/characters.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace scoregate::http {

using base::fail;

body_decoder::body_decoder(const body_framing& framing) : has_body_(framing.how != body_framing::kind::none) {
    switch (framing.how) {
    case body_framing::kind::none: break;
    case body_framing::kind::length:
        state_ = framing.length == 0 ? state::done : state::length;
        remaining_ = framing.length;
        break;
    case body_framing::kind::chunked:
        state_ = state::size_first;
        chunked_ = true;
        break;
    case body_framing::kind::until_close: state_ = state::until_close; break;
    }
}

result<body_decoder::step> body_decoder::decode(char* bytes, std::size_t size) {
    if (state_ == state::until_close) return step{size, size};
    if (state_ == state::length) {
        const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(size, remaining_));
        remaining_ -= n;
        if (remaining_ == 0) state_ = state::done;
        return step{n, n};
    }
    step made;
    while (made.consumed < size && state_ != state::done) {
        if (state_ != state::data) {
            if (auto r = chunk_byte(bytes[made.consumed]); !r) return r.error();
            ++made.consumed;
            continue;
        }
        const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(size - made.consumed, remaining_));
        if (made.payload != made.consumed) std::memmove(bytes + made.payload, bytes + made.consumed, n);
        made.payload += n;
        made.consumed += n;
        remaining_ -= n;
        if (remaining_ == 0) state_ = state::data_cr;
    }
    return made;
}

// One byte of framing. A LF without CR is refused everywhere, a CR without LF too.
result<void> body_decoder::chunk_byte(char c) {
    const auto digit = [](char d) {
        if (d >= '0' && d <= '9') return d - '0';
        const char folded = static_cast<char>(d | 0x20);
        return folded >= 'a' && folded <= 'f' ? folded - 'a' + 10 : -1;
    };
    const auto expect = [&](char wanted, state next) -> result<void> {
        if (c != wanted) return fail(fault::bad_request, "A chunk is not framed by CRLF (RFC 9112 7.1)");
        state_ = next;
        return {};
    };
    switch (state_) {
    case state::size_first:
        remaining_ = 0;
        if (digit(c) < 0) return fail(fault::bad_request, "A chunk size is not a hexadecimal number (RFC 9112 7.1)");
        remaining_ = static_cast<std::uint64_t>(digit(c));
        size_digits_ = 1;
        state_ = state::size;
        return {};
    case state::size:
        if (const int value = digit(c); value >= 0) {
            if (++size_digits_ > 16) return fail(fault::bad_request, "A chunk size is too large (RFC 9112 7.1)");
            remaining_ = remaining_ << 4 | static_cast<std::uint64_t>(value);
            return {};
        }
        [[fallthrough]];
    case state::size_space: // some servers pad the size with spaces; anything but an extension behind them is two sizes
        if (c == '\r')
            state_ = state::size_lf;
        else if (c == ';')
            state_ = state::extension;
        else if ((c == ' ' || c == '\t') && ++framing_bytes_ <= most_framing)
            state_ = state::size_space;
        else
            return fail(fault::bad_request, "A chunk size is not a hexadecimal number (RFC 9112 7.1)");
        return {};
    case state::extension:
    case state::trailer_name:
    case state::trailer:
        if (++framing_bytes_ > most_framing)
            return fail(fault::bad_request, "Chunk extensions and trailers over 8192 bytes (RFC 9112 7.1)");
        if (state_ == state::trailer_name) {
            if (c == ':')
                state_ = state::trailer;
            else if (!is_one_of(c, token_characters))
                return fail(fault::bad_request, "A trailer is not a field line (RFC 9112 7.1.2)");
            return {};
        }
        if (c == '\r')
            state_ = state_ == state::extension ? state::size_lf : state::trailer_lf;
        else if (!is_one_of(c, value_characters))
            return fail(fault::bad_request, "A control character in a chunk extension or trailer (RFC 9112 7.1)");
        return {};
    case state::size_lf: return expect('\n', remaining_ == 0 ? state::trailer_start : state::data);
    case state::data_cr: return expect('\r', state::data_lf);
    case state::data_lf: return expect('\n', state::size_first);
    case state::trailer_start:
        if (c == '\r') {
            state_ = state::end_lf;
            return {};
        }
        if (c == ':') return fail(fault::bad_request, "A trailer is not a field line (RFC 9112 7.1.2)");
        state_ = state::trailer_name;
        return chunk_byte(c);
    case state::trailer_lf: return expect('\n', state::trailer_start);
    case state::end_lf: return expect('\n', state::done);
    default: return fail(fault::internal_error);
    }
}

std::string_view frame_chunk(char* payload, std::size_t size, bool last) {
    static constexpr std::string_view closing = "0\r\n\r\n";
    // Nothing may be written then: what follows may be the next message.
    if (size == 0) return last ? closing : std::string_view{};
    char line[18];
    auto* line_end = std::to_chars(line, line + 16, size, 16).ptr;
    *line_end++ = '\r';
    *line_end++ = '\n';
    char* const begin = payload - (line_end - line);
    std::memcpy(begin, line, static_cast<std::size_t>(line_end - line));
    char* end = payload + size;
    *end++ = '\r';
    *end++ = '\n';
    if (last) {
        std::memcpy(end, closing.data(), closing.size());
        end += closing.size();
    }
    return {begin, static_cast<std::size_t>(end - begin)};
}

} // namespace scoregate::http
