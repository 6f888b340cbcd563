#include "azureml/fields.hpp"

#include "config/load.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace scoregate::azureml {

namespace {

const config::key_description& described(std::string_view pattern) {
    static const auto keys = config::describe_keys();
    return *std::find_if(keys.begin(), keys.end(), [&](const auto& each) { return each.pattern == pattern; });
}

} // namespace

std::string lower_case(std::string text) {
    for (auto& c : text)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return text;
}

const node* fields::value(std::string_view name) {
    read_.emplace(name);
    const auto* const found = from_.find(name);
    return found == nullptr || found->is == node::kind::nothing ? nullptr : found;
}

bool fields::text(std::string_view name, std::string& to) {
    const auto* const found = value(name);
    if (found == nullptr) return false;
    if (found->is != node::kind::scalar) {
        refuse(*found, "must be a text: write one");
        return false;
    }
    to = found->text;
    return true;
}

bool fields::integer(const node& of, std::int64_t least, std::int64_t most, std::int64_t& to) {
    std::int64_t number = 0;
    const auto* const end = of.text.data() + of.text.size();
    const auto [stop, error] = std::from_chars(of.text.data(), end, number);
    if (of.is == node::kind::scalar && error == std::errc{} && stop == end && number >= least && number <= most) {
        to = number;
        return true;
    }
    refuse(of, "must be a whole number from " + std::to_string(least) + " to " + std::to_string(most) + ": write one");
    return false;
}

void fields::carry_integer(std::string_view name, std::string_view ours, json& to) {
    const auto* const found = value(name);
    if (found == nullptr) return;
    const auto& range = described(ours);
    std::int64_t number = 0;
    if (integer(*found, range.minimum.value_or(0), range.maximum.value_or(0), number))
        to[std::string(ours.substr(ours.rfind('/') + 1))] = number;
}

void fields::mapping(std::string_view name, const std::function<void(fields&)>& read) {
    const auto* const found = value(name);
    if (found == nullptr) return;
    if (found->is != node::kind::mapping) return refuse(*found, "must be a mapping: write its entries beneath it");
    fields inner(to_, file_, *found, config::child_pointer(pointer_, name));
    read(inner);
}

void fields::each(const std::function<void(const node&)>& read) {
    for (const auto& entry : from_.items) {
        read_.emplace(entry.name);
        read(entry);
    }
}

void fields::refuse(const node& at_entry, std::string message) {
    to_.problems.push_back(at(at_entry, std::move(message)));
}

void fields::refuse(std::string message) {
    to_.problems.push_back({place(file_, from_.line), pointer_, std::move(message)});
}

void fields::note(const node& at_entry, std::string message) { to_.notes.push_back(at(at_entry, std::move(message))); }

void fields::finish(std::span<const no_counterpart> known) {
    for (const auto& entry : from_.items) {
        if (read_.contains(entry.name)) continue;
        const auto found =
            std::find_if(known.begin(), known.end(), [&](const auto& each) { return each.name == entry.name; });
        if (found == known.end())
            refuse(entry, "is not a key of Azure ML that is known here: correct its name, or remove it");
        else if (entry.is != node::kind::nothing)
            note(entry, "has no counterpart: " + std::string(found->instead));
    }
}

config::problem fields::at(const node& entry, std::string message) const {
    return {place(file_, entry.line), config::child_pointer(pointer_, entry.name), std::move(message)};
}

} // namespace scoregate::azureml
