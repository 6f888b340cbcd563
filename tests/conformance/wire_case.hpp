// One .wire file, read: what is sent on the client's connection and on the replica's, and what has to arrive, in order.
// README.md of this folder explains the format. Plain values.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::tests {

// Bytes with gaps, each of which takes what varies from run to run, up to the end of its line.
class wire_pattern {
public:
    enum class kind : std::uint8_t { literal, guid, traceparent, date, timing, proto };
    struct piece {
        kind what;
        std::string bytes; // of a literal
    };
    explicit wire_pattern(std::vector<piece> pieces) : pieces_(std::move(pieces)) {}

    enum class verdict : std::uint8_t { matches, more_needed, differs };
    struct result {
        verdict is;
        std::size_t size; // of what has matched
    };
    // Of the front of `text`; what follows is not looked at.
    result match(std::string_view text) const;
    std::string printable() const;

private:
    std::vector<piece> pieces_;
};

struct wire_step {
    enum class action : std::uint8_t {
        client_sends,
        client_shuts,
        client_receives,
        client_refused,
        replica_receives,
        replica_sends,
        replica_closes,
        replica_closed, // by the proxy
    };
    action what;
    std::string bytes{};                  // sent
    std::vector<wire_pattern> expected{}; // of *_receives: one
    unsigned status = 0;                  // of client_refused, as the next two
    std::string fault{}, words{};
};

struct wire_case {
    enum class end : std::uint8_t { kept, closed, cut };

    std::string title;
    std::vector<std::string> cites; // sections ("RFC 9112 6.1") and attacks ("CL.TE")
    std::vector<wire_step> steps;
    bool untouched = false; // the replica gets nothing
    end connection = end::kept;

    std::size_t count(wire_step::action) const;
};

// Throws std::runtime_error with the number of the line that is wrong.
wire_case parse_wire_case(std::string_view text);
wire_pattern parse_wire_pattern(std::string_view source);
std::string printable(std::string_view bytes);

} // namespace scoregate::tests
