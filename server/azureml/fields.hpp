// One mapping of a file of Azure's while it is read: what is asked for is checked and taken, and what nobody has asked
// for is told at the end, so that nothing is lost silently. Owned by who reads; one thread.
#pragma once

#include "azureml/report.hpp"
#include "azureml/yaml_tree.hpp"
#include "config/forms.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace scoregate::azureml {

using json = nlohmann::ordered_json; // what is made keeps the order in which a reader expects it

// A key of Azure's that has no counterpart here.
struct no_counterpart {
    std::string_view name;
    std::string_view instead; // where it belongs, or why nothing is missing
};

// ASCII letters only.
std::string lower_case(std::string text);

class fields {
public:
    fields(report& to, const std::string& file, const node& from, std::string pointer = {})
        : to_(to), file_(file), from_(from), pointer_(std::move(pointer)) {}

    // The entry, which counts as read; null if it is absent or null.
    const node* value(std::string_view name);

    // Of a scalar; refused if it is none. `to` stays as it is if there is no value.
    bool text(std::string_view name, std::string& to);

    // The same of a text that has a form of the configuration's; empty if it has not, null if there is none.
    template <class T>
    const node* formed(std::string_view name, const config::form<T>& form, std::string& to) {
        const auto* const found = value(name);
        std::string wrong;
        if (found == nullptr || !text(name, to) || form.parse(to, wrong)) return found;
        refuse(*found, "\"" + std::exchange(to, {}) + "\" " + wrong);
        return found;
    }

    // A whole number within the range that key `ours` of the configuration has (a pattern of config::describe_keys()),
    // put into `to` by its last name.
    void carry_integer(std::string_view name, std::string_view ours, json& to);
    // The number itself; nothing but digits, within the range.
    bool integer(const node& of, std::int64_t least, std::int64_t most, std::int64_t& to);

    // Reads a mapping within; not called if it is absent or null, refused if it is none.
    void mapping(std::string_view name, const std::function<void(fields&)>& read);
    // Each entry of this one counts as read.
    void each(const std::function<void(const node&)>& read);

    void refuse(const node& at, std::string message);
    void refuse(std::string message); // the mapping itself
    void note(const node& at, std::string message);
    // All that was not read: a note for what is `known` to have no counterpart, a problem for the rest.
    void finish(std::span<const no_counterpart> known);

    const std::string& file() const { return file_; }

private:
    config::problem at(const node&, std::string message) const;

    report& to_;
    const std::string& file_;
    const node& from_;
    std::string pointer_;
    std::set<std::string, std::less<>> read_;
};

} // namespace scoregate::azureml
