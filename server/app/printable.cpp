#include "app/printable.hpp"

#include "base/line_mark.hpp"

#include <cstddef>

namespace scoregate::app {

std::string printable(std::string_view text, line_ends ends) {
    std::string safe;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
        const bool in_two = byte == 0xc2 && next >= 0x80 && next < 0xa0;
        const bool turns = base::line_mark(text.substr(i)) != 0;
        const bool obeyed = in_two || turns || byte < 0x20 || byte == 0x7f;
        safe += obeyed && !(byte == '\n' && ends == line_ends::kept) ? '?' : text[i];
        i += turns ? 2 : in_two ? 1 : 0;
    }
    return safe;
}

} // namespace scoregate::app
