// What an import says: what is wrong, and what was not taken over or is left for a person to do. Plain values.
#pragma once

#include "config/problem.hpp"

namespace scoregate::azureml {

struct report {
    config::problems problems; // with any, nothing is made
    config::problems notes;    // in the same form: no counterpart and where it belongs, or what is to be done
};

} // namespace scoregate::azureml
