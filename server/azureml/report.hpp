// What an import says: what is wrong, and what was not taken over or is left for a person to do. Plain values.
#pragma once

#include "config/problem.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace scoregate::azureml {

struct report {
    config::problems problems; // with any, nothing is made
    config::problems notes;    // in the same form: no counterpart and where it belongs, or what is to be done
};

inline constexpr std::size_t most_problems_of_a_file = 50;

// A line for each, as to_string() has it, in their order; of what a file has more than the bound the number, at the
// end: who names the wrong file does not lose what is wrong with the others.
std::vector<std::string> bounded_lines(const config::problems&);

} // namespace scoregate::azureml
