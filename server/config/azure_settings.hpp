// The settings of Azure ML's SDK v1, CLI v1 and Kubernetes extension that scoregate does not have under the same name:
// which key of ours each means, or where what it does is decided. docs/azureml.md has a row for each. Pure; any thread.
#pragma once

#include "config/load.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace scoregate::config {

struct azure_setting {
    enum class meaning : std::uint8_t {
        same,      // as `key`
        opposite,  // True and Enabled are false of `key`, False and Disabled are true of it
        elsewhere, // no key of the configuration
    };

    std::string_view name; // as Azure spells it; of nodeSelector.KEY the first level
    meaning is = meaning::elsewhere;
    std::string_view key = {};    // of ours, levels separated by dots
    std::string_view advice = {}; // what a problem says of it; empty for `same`
};

// Sorted by where Azure has them; every name once.
std::span<const azure_setting> azure_settings();

// A setting under Azure's name as one under ours, from the same origin; others as they are, and so is an opposite whose
// value is neither: reading refuses it.
override_setting in_our_words(override_setting);

// What is said of Azure's name where only ours counts: in the file, or where there is none of ours.
std::string advice_on(const azure_setting&);

} // namespace scoregate::config
