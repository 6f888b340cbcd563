#include "config/problem.hpp"

namespace scoregate::config {

std::string to_string(const problem& p) {
    std::string text;
    for (const auto* part : {&p.file, &p.pointer}) {
        if (!part->empty()) text += *part + ": ";
    }
    return text + p.message;
}

std::string child_pointer(std::string_view parent, std::string_view key) {
    std::string pointer{parent};
    pointer += '/';
    for (const char c : key) {
        if (c == '~') {
            pointer += "~0";
        } else if (c == '/') {
            pointer += "~1";
        } else {
            pointer += c;
        }
    }
    return pointer;
}

} // namespace scoregate::config
