#include "architecture/project.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

namespace scoregate::tests {

namespace {

const std::filesystem::path top{SCOREGATE_SOURCE_DIR};

std::string trimmed(const std::string& text) {
    const auto first = text.find_first_not_of(' ');
    if (first == std::string::npos) return {};
    return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

} // namespace

std::string text_of(const std::string& file) {
    std::ifstream in{top / file};
    if (!in) throw std::runtime_error(file + " cannot be read");
    return {std::istreambuf_iterator<char>{in}, {}};
}

bool exists(const std::string& path) { return std::filesystem::exists(top / path); }

std::vector<std::string> files_below(const std::string& folder, const std::vector<std::string>& endings) {
    std::vector<std::string> found;
    for (auto each = std::filesystem::recursive_directory_iterator{top / folder};
         each != std::filesystem::recursive_directory_iterator{}; ++each) {
        const auto name = each->path().filename().string();
        if (each->is_directory()) {
            if (name.starts_with('.') || name == "build") each.disable_recursion_pending();
        } else if (std::any_of(endings.begin(), endings.end(), [&](const auto& end) { return name.ends_with(end); }))
            found.push_back(each->path().lexically_relative(top).string());
    }
    std::sort(found.begin(), found.end());
    return found;
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in{text};
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

std::string without_comments(const std::string& text) {
    std::string kept;
    for (const auto& line : lines_of(text)) {
        bool quoted = false;
        std::size_t end = 0;
        for (; end < line.size(); ++end) {
            if (line[end] == '"' && (end == 0 || line[end - 1] != '\\')) quoted = !quoted;
            if (!quoted && line.compare(end, 2, "//") == 0) break;
        }
        kept.append(line, 0, end).push_back('\n');
    }
    return kept;
}

std::vector<std::string> cells_of(const std::string& line) {
    if (!line.starts_with('|') || !line.ends_with('|')) return {};
    std::vector<std::string> cells;
    std::istringstream in{line.substr(1)};
    for (std::string cell; std::getline(in, cell, '|');) cells.push_back(trimmed(cell));
    return cells;
}

std::string code_of(std::string_view cell) {
    if (cell.size() < 3 || cell.front() != '`' || cell.find('`', 1) != cell.size() - 1) return {};
    return std::string(cell.substr(1, cell.size() - 2));
}

} // namespace scoregate::tests
