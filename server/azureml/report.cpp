#include "azureml/report.hpp"

#include <map>

namespace scoregate::azureml {

namespace {

// FILE of FILE:LINE.
std::string file_of(const std::string& place) {
    const auto colon = place.rfind(':');
    const bool has_line =
        colon != std::string::npos && place.find_first_not_of("0123456789", colon + 1) == std::string::npos;
    return has_line ? place.substr(0, colon) : place;
}

} // namespace

std::vector<std::string> bounded_lines(const config::problems& all) {
    std::map<std::string, std::size_t> counts;
    std::vector<std::string> lines;
    for (const auto& each : all)
        if (++counts[file_of(each.file)] <= most_problems_of_a_file) lines.push_back(to_string(each));
    for (const auto& [file, count] : counts)
        if (count > most_problems_of_a_file)
            lines.push_back(to_string(config::problem{file, "",
                                                      "and " + std::to_string(count - most_problems_of_a_file) +
                                                          " more: correct these first, or name the right file"}));
    return lines;
}

} // namespace scoregate::azureml
