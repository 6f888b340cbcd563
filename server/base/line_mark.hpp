// Marks that are no letters: some viewers of text end a line at them, or turn its order around. Pure; any thread.
#pragma once

#include <string_view>

namespace scoregate::base {

// The code point of the mark that `text` begins with, in UTF-8: U+2028..202E, U+2066..2069. 0: none of them.
constexpr unsigned line_mark(std::string_view text) {
    if (text.size() < 3 || text[0] != '\xe2') return 0;
    const auto second = static_cast<unsigned char>(text[1]), third = static_cast<unsigned char>(text[2]);
    if (second == 0x80 && third >= 0xa8 && third <= 0xae) return 0x2000u + third - 0x80;
    if (second == 0x81 && third >= 0xa6 && third <= 0xa9) return 0x2040u + third - 0x80;
    return 0;
}

} // namespace scoregate::base
