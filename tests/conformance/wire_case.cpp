#include "conformance/wire_case.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <regex>
#include <stdexcept>

namespace scoregate::tests {

namespace {

using kind = wire_pattern::kind;
using action = wire_step::action;

struct gap {
    std::string_view name;
    kind what;
    const char* shape;
};
constexpr gap gaps[] = {
    {"guid", kind::guid, "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"},
    {"traceparent", kind::traceparent, "00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]"},
    {"date", kind::date, "[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT"},
    {"timing", kind::timing, R"(queue;dur=\d+\.\d{3}, connect;dur=\d+\.\d{3}, model;dur=\d+\.\d{3})"},
    {"proto", kind::proto, "https?"},
};

// What the proxy adds to each request and to each reply of a replica, written once.
constexpr std::string_view told_to_replica = R"(X-Request-Id: {guid}\r\ntraceparent: {traceparent}\r\n)";
constexpr std::string_view told_of_origin = R"(X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: {proto}\r\n)";
constexpr std::string_view told_to_client =
    R"(x-request-id: {guid}\r\nx-ms-request-id: {guid}\r\nazureml-model-deployment: blue\r\nServer-Timing: {timing}\r\n)";

class pattern_reader {
public:
    explicit pattern_reader(bool with_gaps) : with_gaps_(with_gaps) {}

    void read(std::string_view source) {
        while (!source.empty()) {
            if (source.front() == '\\')
                literal().push_back(take_escape(source));
            else if (source.front() != '{' || !take_braces(source)) {
                literal().push_back(source.front());
                source.remove_prefix(1);
            }
        }
    }
    std::vector<wire_pattern::piece> pieces;

private:
    std::string& literal() {
        if (pieces.empty() || pieces.back().what != kind::literal) pieces.push_back({kind::literal, {}});
        return pieces.back().bytes;
    }

    static char take_escape(std::string_view& source) {
        const char letter = source.size() > 1 ? source[1] : '\0';
        if (letter == 'x') {
            unsigned value = 0;
            const auto digits = source.substr(2, 2);
            const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
            if (digits.size() != 2 || ec != std::errc{} || end != digits.data() + 2)
                throw std::runtime_error("\\x needs two hexadecimal digits");
            source.remove_prefix(4);
            return static_cast<char>(value);
        }
        constexpr std::string_view letters = "rnt\\", bytes = "\r\n\t\\";
        const auto at = letters.find(letter);
        if (letter == '\0' || at == std::string_view::npos) throw std::runtime_error("an escape that there is not");
        source.remove_prefix(2);
        return bytes[at];
    }

    // {TEXT*COUNT}, {from HOST}, {from}, {ours} or a gap. Anything else is two braces.
    bool take_braces(std::string_view& source) {
        const auto end = source.find('}');
        if (end == std::string_view::npos) return false;
        const auto inner = source.substr(1, end - 1);
        if (!take_repetition(inner) && !(with_gaps_ && take_name(inner))) return false;
        source.remove_prefix(end + 1);
        return true;
    }

    bool take_repetition(std::string_view inner) {
        const auto star = inner.rfind('*');
        if (star == std::string_view::npos || star == 0) return false;
        std::size_t count = 0;
        const auto digits = inner.substr(star + 1);
        const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
        if (digits.empty() || ec != std::errc{} || end != digits.data() + digits.size()) return false;
        for (std::size_t i = 0; i < count; ++i) read(inner.substr(0, star));
        return true;
    }

    bool take_name(std::string_view inner) {
        if (inner == "ours") {
            read(told_to_client);
            return true;
        }
        if (inner == "from" || inner.starts_with("from ")) {
            read(told_of_origin);
            if (inner != "from") read("X-Forwarded-Host: " + std::string(inner.substr(5)) + "\\r\\n");
            read(told_to_replica);
            return true;
        }
        const auto* const found =
            std::find_if(std::begin(gaps), std::end(gaps), [&](auto& g) { return g.name == inner; });
        if (found == std::end(gaps)) return false;
        pieces.push_back({found->what, {}});
        return true;
    }

    bool with_gaps_;
};

std::string sent_bytes(std::string_view source) {
    pattern_reader reader(false);
    reader.read(source);
    return reader.pieces.empty() ? std::string{} : reader.pieces.front().bytes;
}

bool fits(kind what, std::string_view value) {
    const auto* const found = std::find_if(std::begin(gaps), std::end(gaps), [&](auto& g) { return g.what == what; });
    return std::regex_match(std::string(value), std::regex(found->shape));
}

bool takes_bytes(action what) {
    return what == action::client_sends || what == action::client_receives || what == action::replica_receives ||
           what == action::replica_sends;
}

std::optional<action> action_of(std::string_view words) {
    constexpr std::pair<std::string_view, action> all[] = {
        {"client sends", action::client_sends},       {"client shuts", action::client_shuts},
        {"client receives", action::client_receives}, {"replica receives", action::replica_receives},
        {"replica sends", action::replica_sends},     {"replica closes", action::replica_closes},
        {"replica closed", action::replica_closed},
    };
    for (const auto& [name, what] : all)
        if (words == name) return what;
    return std::nullopt;
}

// "client refused 400 bad_request WORDS"
wire_step parse_refusal(std::string_view rest) {
    wire_step made{action::client_refused};
    const auto [end, ec] = std::from_chars(rest.data(), rest.data() + rest.size(), made.status);
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    if (ec != std::errc{} || !rest.starts_with(' ')) throw std::runtime_error("a refusal has a status and a fault");
    rest.remove_prefix(1);
    made.fault = rest.substr(0, rest.find(' '));
    rest.remove_prefix(made.fault.size());
    made.words = rest.empty() ? rest : rest.substr(1);
    return made;
}

class case_reader {
public:
    wire_case read(std::string_view text) {
        std::size_t number = 0;
        while (!text.empty()) {
            const auto line = text.substr(0, text.find('\n'));
            text.remove_prefix(std::min(text.size(), line.size() + 1));
            ++number;
            try {
                take(line);
            } catch (const std::runtime_error& wrong) {
                throw std::runtime_error("line " + std::to_string(number) + ": " + wrong.what());
            }
        }
        finish_step();
        if (made_.title.empty() || made_.cites.empty() || !ended_)
            throw std::runtime_error("a case has a title, what it cites, and what becomes of the connection");
        if (made_.untouched == (made_.count(action::replica_receives) != 0))
            throw std::runtime_error("the replica either receives something or is untouched");
        return made_;
    }

private:
    void take(std::string_view line) {
        if (line.starts_with("| ")) {
            if (made_.steps.empty() || !takes_bytes(made_.steps.back().what))
                throw std::runtime_error("bytes of no step");
            if (line.ends_with(' ')) throw std::runtime_error("a space at the end cannot be seen: write \\x20");
            bytes_.append(line.substr(2));
            return;
        }
        if (line.empty()) return;
        if (line.starts_with('#')) {
            if (made_.title.empty()) made_.title = line.substr(std::min<std::size_t>(2, line.size()));
            return;
        }
        finish_step();
        take_words(line);
    }

    void take_words(std::string_view line) {
        constexpr std::string_view cites = "cites ", refused = "client refused ", connection = "connection ";
        if (ended_) throw std::runtime_error("something behind the end of the connection");
        if (line.starts_with(cites))
            made_.cites.emplace_back(line.substr(cites.size()));
        else if (line.starts_with(refused))
            made_.steps.push_back(parse_refusal(line.substr(refused.size())));
        else if (line == "replica untouched")
            made_.untouched = true;
        else if (line.starts_with(connection)) {
            const auto how = line.substr(connection.size());
            if (how != "kept" && how != "closed" && how != "cut") throw std::runtime_error("kept, closed or cut");
            made_.connection = how == "kept"  ? wire_case::end::kept
                               : how == "cut" ? wire_case::end::cut
                                              : wire_case::end::closed;
            ended_ = true;
        } else if (const auto what = action_of(line))
            made_.steps.push_back({*what});
        else
            throw std::runtime_error("\"" + std::string(line) + "\" is nothing that can happen");
    }

    void finish_step() {
        if (made_.steps.empty() || !takes_bytes(made_.steps.back().what)) return;
        auto& step = made_.steps.back();
        const bool sends = step.what == action::client_sends || step.what == action::replica_sends;
        if (!step.bytes.empty() || !step.expected.empty()) return; // done before
        if (bytes_.empty()) throw std::runtime_error("a step without its bytes");
        if (sends)
            step.bytes = sent_bytes(bytes_);
        else
            step.expected.push_back(parse_wire_pattern(bytes_));
        bytes_.clear();
    }

    wire_case made_;
    std::string bytes_; // of the last step, as they are written
    bool ended_ = false;
};

} // namespace

wire_pattern::result wire_pattern::match(std::string_view text) const {
    std::size_t at = 0;
    for (const auto& each : pieces_) {
        const auto rest = text.substr(at);
        if (each.what == kind::literal) {
            const auto there = rest.substr(0, each.bytes.size());
            if (!each.bytes.starts_with(there)) return {verdict::differs, at};
            if (there.size() < each.bytes.size()) return {verdict::more_needed, at};
            at += there.size();
            continue;
        }
        const auto end = rest.find('\r');
        if (end == std::string_view::npos) return {verdict::more_needed, at};
        if (!fits(each.what, rest.substr(0, end))) return {verdict::differs, at};
        at += end;
    }
    return {verdict::matches, at};
}

std::string wire_pattern::printable() const {
    std::string all;
    for (const auto& each : pieces_) {
        const auto* const found =
            std::find_if(std::begin(gaps), std::end(gaps), [&](auto& g) { return g.what == each.what; });
        all += each.what == kind::literal ? tests::printable(each.bytes) : "{" + std::string(found->name) + "}";
    }
    return all;
}

std::size_t wire_case::count(wire_step::action what) const {
    return static_cast<std::size_t>(
        std::count_if(steps.begin(), steps.end(), [&](const auto& each) { return each.what == what; }));
}

wire_case parse_wire_case(std::string_view text) { return case_reader().read(text); }

wire_pattern parse_wire_pattern(std::string_view source) {
    pattern_reader reader(true);
    reader.read(source);
    return wire_pattern(std::move(reader.pieces));
}

std::string printable(std::string_view bytes) {
    std::string text;
    for (const char c : bytes) {
        char code[8];
        if (c == '\r')
            text += "\\r";
        else if (c == '\n')
            text += "\\n\n";
        else if (c >= ' ' && c <= '~')
            text += c;
        else {
            std::snprintf(code, sizeof code, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
            text += code;
        }
    }
    return text;
}

} // namespace scoregate::tests
