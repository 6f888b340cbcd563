#include "app/printable.hpp"

#include <cstddef>

namespace scoregate::app {

namespace {

// U+2028 to U+202E and U+2066 to U+2069: what ends lines or turns their order around.
bool turns_text(std::string_view at) {
    if (at.size() < 3 || at[0] != '\xe2') return false;
    const auto second = static_cast<unsigned char>(at[1]), third = static_cast<unsigned char>(at[2]);
    return (second == 0x80 && third >= 0xa8 && third <= 0xae) || (second == 0x81 && third >= 0xa6 && third <= 0xa9);
}

} // namespace

std::string printable(std::string_view text, line_ends ends) {
    std::string safe;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
        const bool in_two = byte == 0xc2 && next >= 0x80 && next < 0xa0;
        const bool turns = turns_text(text.substr(i));
        const bool obeyed = in_two || turns || byte < 0x20 || byte == 0x7f;
        safe += obeyed && !(byte == '\n' && ends == line_ends::kept) ? '?' : text[i];
        i += turns ? 2 : in_two ? 1 : 0;
    }
    return safe;
}

} // namespace scoregate::app
