#include "support/wire.hpp"

#include <algorithm>
#include <cctype>
#include <poll.h>

namespace scoregate::tests {

namespace {

bool same_name(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

std::string trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return std::string(text.substr(first, text.find_last_not_of(" \t") - first + 1));
}

} // namespace

void event::set() {
    const std::lock_guard lock(mutex_);
    set_ = true;
    changed_.notify_all();
}

bool event::happened() const {
    const std::lock_guard lock(mutex_);
    return set_;
}

void event::wait() const {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, patience, [this] { return set_; })) throw wire_error("an event did not happen");
}

unsigned message::status() const {
    if (!first_line.starts_with("HTTP/1.") || first_line.size() < 12) return 0;
    return static_cast<unsigned>(std::stoul(first_line.substr(9, 3)));
}

std::size_t message::count(std::string_view name) const {
    return static_cast<std::size_t>(
        std::count_if(fields.begin(), fields.end(), [&](const auto& each) { return same_name(each.first, name); }));
}

std::string message::field(std::string_view name) const {
    std::string values;
    for (const auto& [each, value] : fields)
        if (same_name(each, name)) values += (values.empty() ? "" : ", ") + value;
    return values;
}

message parse_head(std::string head) {
    message parsed;
    parsed.head = std::move(head);
    std::string_view rest = parsed.head;
    const auto line = [&rest] {
        const auto end = rest.find("\r\n");
        const auto taken = rest.substr(0, end);
        rest.remove_prefix(end + 2);
        return taken;
    };
    parsed.first_line = line();
    while (!rest.empty()) {
        const auto field = line();
        if (field.empty()) break;
        const auto colon = field.find(':');
        if (colon == std::string_view::npos) throw wire_error("a field without a colon: " + std::string(field));
        parsed.fields.emplace_back(field.substr(0, colon), trimmed(field.substr(colon + 1)));
    }
    return parsed;
}

std::string inbox::read_some() {
    if (bytes_.empty()) receive();
    return std::exchange(bytes_, {});
}

std::string inbox::read_exactly(std::size_t size) {
    while (bytes_.size() < size)
        if (!receive()) throw wire_ended("the stream ended early: " + bytes_);
    auto taken = bytes_.substr(0, size);
    bytes_.erase(0, size);
    return taken;
}

std::string inbox::read_until(std::string_view mark) {
    for (std::size_t from = 0;;) {
        if (const auto at = bytes_.find(mark, from); at != std::string::npos) return read_exactly(at + mark.size());
        from = bytes_.size() < mark.size() ? 0 : bytes_.size() - mark.size();
        if (!receive()) throw wire_ended("the stream ended early: " + bytes_);
    }
}

void inbox::await(std::string_view mark) {
    while (bytes_.find(mark) == std::string::npos)
        if (!receive()) throw wire_ended("the stream ended early: " + bytes_);
}

std::string inbox::read_to_end() {
    while (receive()) {
    }
    return std::exchange(bytes_, {});
}

bool inbox::read_body(message& of, bool until_end) {
    try {
        if (of.has("transfer-encoding")) {
            for (;;) {
                const auto size = std::stoul(read_until("\r\n"), nullptr, 16);
                if (size == 0) break;
                of.chunks.push_back(read_exactly(size));
                of.body += of.chunks.back();
                if (read_exactly(2) != "\r\n") throw wire_error("a chunk without CRLF");
            }
            while (read_until("\r\n") != "\r\n") {
            } // trailers
        } else if (of.has("content-length")) {
            const auto size = std::stoul(of.field("content-length"));
            while (bytes_.size() < size && receive()) {
            }
            of.body = bytes_.substr(0, size);
            bytes_.erase(0, of.body.size());
            if (of.body.size() < size) return false;
        } else if (until_end)
            of.body = read_to_end();
    } catch (const wire_ended&) {
        return false;
    }
    return of.whole = true;
}

short wait_for(int descriptor, short events) {
    pollfd one{descriptor, events, 0};
    const auto most = std::chrono::duration_cast<std::chrono::milliseconds>(patience).count();
    if (::poll(&one, 1, static_cast<int>(most)) <= 0) throw wire_error("nothing came");
    return one.revents;
}

std::string in_chunks(std::string_view body, std::size_t chunk_size, bool closed) {
    std::string framed;
    for (std::size_t at = 0; at < body.size(); at += chunk_size) {
        const auto piece = body.substr(at, chunk_size);
        char size[20];
        std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
        framed.append(size).append(piece).append("\r\n");
    }
    return closed ? framed + "0\r\n\r\n" : framed;
}

std::string pattern(std::size_t size) {
    std::string bytes(size, '\0');
    std::uint32_t state = 2463534242U; // xorshift (Marsaglia 2003)
    for (char& each : bytes) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        each = static_cast<char>(state);
    }
    return bytes;
}

} // namespace scoregate::tests
