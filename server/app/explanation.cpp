#include "app/explanation.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace scoregate::app {

namespace {

constexpr std::size_t columns = 100;

// Of the page, under "## Side: ..." and "### TOKEN".
struct section {
    std::string_view token, side;
    std::vector<std::string> blocks{}; // paragraphs and items of lists, each on one line
};

std::string_view take_line(std::string_view& text) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    return line;
}

std::vector<section> sections_of(std::string_view page) {
    constexpr std::string_view side_mark = "## Side: ", token_mark = "### ";
    std::vector<section> found;
    std::string_view side; // empty: what is read now is about no token
    bool goes_on = false;  // the next line belongs to the last block
    while (!page.empty()) {
        const auto line = take_line(page);
        const auto begin = line.find_first_not_of(' ');
        if (line.starts_with("## ")) {
            side = line.starts_with(side_mark) ? line.substr(side_mark.size()) : std::string_view{};
            goes_on = false;
        } else if (line.starts_with(token_mark)) {
            if (!side.empty()) found.push_back({line.substr(token_mark.size()), side});
            goes_on = false;
        } else if (begin == std::string_view::npos) {
            goes_on = false;
        } else if (!side.empty() && !found.empty() && found.back().side == side) {
            auto& blocks = found.back().blocks;
            if (!goes_on || line.starts_with("- ")) blocks.emplace_back();
            if (!blocks.back().empty()) blocks.back() += ' ';
            blocks.back() += line.substr(begin);
            goes_on = true;
        }
    }
    return found;
}

// Without Markdown's marks, but for those around `code`, which stays as it is to be typed.
// [text](replicas.md#rollouts), as seen from docs/, becomes "text: docs/replicas.md#rollouts".
std::string plain(std::string_view block) {
    std::string text;
    bool code = false;
    for (; !block.empty(); block.remove_prefix(1)) {
        const char c = block.front();
        if (c == '`') code = !code;
        if (!code && (c == '*' || c == '[')) continue;
        if (!code && block.starts_with("](")) {
            const auto target = block.substr(2, block.find(')') - 2);
            text.append(": docs/").append(target);
            block.remove_prefix(2 + target.size());
            if (block.empty()) break; // a link without end
            continue;
        }
        text += c;
    }
    return text;
}

// Up to the next blank that is not within `code`: what is to be typed is not broken over lines.
std::string_view first_word(std::string_view text) {
    bool code = false;
    std::size_t size = 0;
    for (; size < text.size() && (code || text[size] != ' '); ++size)
        if (text[size] == '`') code = !code;
    return text.substr(0, size);
}

std::string_view first_sentence(std::string_view text) {
    const auto end = text.find(". ");
    return end == std::string_view::npos ? text : text.substr(0, end + 1);
}

void append_wrapped(std::string& out, std::string_view text, std::size_t indent) {
    std::size_t column = 0;
    while (!text.empty()) {
        const auto word = first_word(text);
        text.remove_prefix(std::min(word.size() + 1, text.size()));
        if (column != 0 && column + 1 + word.size() > columns) {
            out.append(1, '\n').append(indent, ' ');
            column = indent;
        } else if (column != 0) {
            out += ' ';
            ++column;
        }
        out += word;
        column += word.size();
    }
    out += '\n';
}

} // namespace

std::string explanation_of(std::string_view token, std::string_view page) {
    std::string text;
    for (const auto& each : sections_of(page)) {
        if (each.token != token) continue;
        text.append(token).append(" (side: ").append(each.side).append(")\n\n");
        for (const auto& block : each.blocks) append_wrapped(text, plain(block), block.starts_with("- ") ? 2 : 0);
    }
    return text;
}

std::string list_of_tokens(std::string_view page) {
    const auto found = sections_of(page);
    std::size_t token_width = 0, side_width = 0;
    for (const auto& each : found) {
        token_width = std::max(token_width, each.token.size());
        side_width = std::max(side_width, each.side.size());
    }
    std::string list;
    for (const auto& each : found) {
        const auto about = each.blocks.empty() ? std::string{} : plain(each.blocks.front());
        list.append(each.token).append(token_width - each.token.size() + 2, ' ');
        list.append(each.side).append(side_width - each.side.size() + 2, ' ');
        list.append(first_sentence(about)).append(1, '\n');
    }
    return list;
}

} // namespace scoregate::app
