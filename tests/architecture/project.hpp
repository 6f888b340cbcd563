// The project's own files as text, for the tests that hold its rules against it. Paths are relative to the top of the
// source tree. Test thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace scoregate::tests {

// Throws std::runtime_error if it cannot be read.
std::string text_of(const std::string& file);
bool exists(const std::string& path);

// Files below `folder` whose name ends in one of `endings`, sorted. Build trees and hidden folders are left out.
std::vector<std::string> files_below(const std::string& folder, const std::vector<std::string>& endings);

std::vector<std::string> lines_of(const std::string& text);

// The text without // comments; what stands between double quotes on one line stays.
std::string without_comments(const std::string& text);

// Cells of a Markdown table's row without surrounding white space; empty for any other line.
std::vector<std::string> cells_of(const std::string& line);

// `code` of a cell: "`no_route`" -> "no_route"; empty if the cell is not one piece of code.
std::string code_of(std::string_view cell);

} // namespace scoregate::tests
