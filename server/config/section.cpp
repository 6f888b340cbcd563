#include "config/section.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>

namespace scoregate::config {
namespace {

using nlohmann::json;

// Whether the text may be a private key, which nothing may show.
bool secret(const json& value) { return value.is_string() && holds_pem(value.get_ref<const std::string&>()); }

// The value as a problem shows it: short, ASCII, on one line, whatever bytes it has.
std::string shown(const json& value) {
    if (secret(value)) return "a text in PEM, which is not shown";
    if (value.is_object()) return "an object";
    if (value.is_array()) return "a list";
    auto text = value.dump(-1, ' ', true, json::error_handler_t::replace);
    constexpr std::size_t enough = 80;
    if (text.size() > enough) text = text.substr(0, enough) + "...";
    return value.is_string() ? "the string " + text : text;
}

// How many letters must be added, removed or replaced to get from one to the other (Levenshtein).
std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        auto diagonal = std::exchange(row[0], i + 1);
        for (std::size_t j = 0; j < b.size(); ++j) {
            const auto replaced = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
        }
    }
    return row.back();
}

// Without case and underscores: sslcertpemfile and maxConnections are slips as well.
std::string folded(std::string_view key) {
    std::string out;
    for (const char c : key) {
        if (c != '_') out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    return out;
}

std::string suggestion(std::string_view key, const std::vector<std::string_view>& known) {
    std::size_t best = 3;
    std::string_view nearest;
    for (const auto candidate : known) {
        const auto distance = std::min(edit_distance(key, candidate), edit_distance(folded(key), folded(candidate)));
        if (distance < best) {
            best = distance;
            nearest = candidate;
        }
    }
    return nearest.empty() ? "remove it" : "did you mean \"" + std::string{nearest} + "\"?";
}

std::string span(std::int64_t minimum, std::int64_t maximum, std::string_view unit) {
    auto text = "from " + std::to_string(minimum) + " to " + std::to_string(maximum);
    return unit.empty() ? text : text + " " + std::string{unit};
}

// What the parser keeps as unsigned can be too large for the signed type, where it would wrap.
bool within(const json& value, range allowed) {
    if (value.is_number_unsigned() && !std::in_range<std::int64_t>(value.get<std::uint64_t>())) return false;
    const auto number = value.get<std::int64_t>();
    return number >= allowed.minimum && number <= allowed.maximum;
}

} // namespace

const json* section::find(std::string_view key) const {
    if (object_ == nullptr) return nullptr;
    const auto found = object_->find(key);
    return found == object_->end() ? nullptr : &*found;
}

const json* section::describe(std::string_view key, key_description description) {
    known_.push_back(key);
    if (descriptions_ != nullptr) {
        description.pattern = pointer(key);
        descriptions_->push_back(std::move(description));
    }
    return find(key);
}

void section::refuse_type(std::string_view key, const json& value, const std::string& wanted) {
    refuse(pointer(key), "must be " + wanted + ", not " + shown(value));
}

void section::refuse_text(const std::string& at, const json& value, const std::string& wrong) {
    // `wrong` may quote a part of the text.
    if (secret(value))
        refuse(at,
               "holds PEM, which is not shown: write it to a file that only scoregate's user can read, and name that "
               "file where its path belongs");
    else
        refuse(at, shown(value) + " " + wrong);
}

void section::boolean(std::string_view key, bool& to) {
    const auto* v = describe(key, {.pattern = {}, .type = "boolean", .fallback = to ? "true" : "false"});
    if (v == nullptr) return;
    if (v->is_boolean()) {
        to = v->get<bool>();
    } else {
        refuse_type(key, *v, "true or false");
    }
}

const json* section::number(std::string_view key, const json& fallback, range allowed, std::string_view unit,
                            std::string type, std::string_view because) {
    const bool nullable = type.ends_with("|null");
    const auto* v = describe(key, {.pattern = {},
                                   .type = std::move(type),
                                   .fallback = fallback.dump(),
                                   .minimum = allowed.minimum,
                                   .maximum = allowed.maximum,
                                   .unit = std::string{unit}});
    if (v == nullptr || (nullable && v->is_null())) return v;
    if (v->is_number_integer() && within(*v, allowed)) return v;
    refuse_type(key, *v,
                "an integer " + span(allowed.minimum, allowed.maximum, unit) + (nullable ? ", or null" : "") +
                    (because.empty() ? "" : " (" + std::string{because} + ')'));
    return nullptr;
}

void section::required_number(std::string_view key, double& to, std::string_view least, std::int64_t maximum,
                              std::string_view remedy) {
    const auto* v = describe(key, {.pattern = {},
                                   .type = "number",
                                   .fallback = "",
                                   .required = true,
                                   .maximum = maximum,
                                   .least = std::string{least}});
    if (v == nullptr) {
        if (object_ != nullptr) refuse(pointer(key), "is missing: " + std::string{remedy});
        return;
    }
    if (v->is_number()) {
        const auto number = v->get<double>();
        if (number >= json::parse(least).get<double>() && number <= static_cast<double>(maximum)) {
            to = number;
            return;
        }
    }
    refuse_type(key, *v, "a number from " + std::string{least} + " to " + std::to_string(maximum));
}

const json* section::string(std::string_view key, std::string fallback, std::string_view form_name, std::string type) {
    const bool nullable = type.ends_with("|null");
    const auto* v = describe(
        key, {.pattern = {}, .type = std::move(type), .fallback = std::move(fallback), .form = std::string{form_name}});
    if (v == nullptr || v->is_string() || (nullable && v->is_null())) return v;
    refuse_type(key, *v, nullable ? "a string or null" : "a string");
    return nullptr;
}

const json* section::required_string(std::string_view key, std::string_view form_name, std::string_view remedy) {
    const auto* v = describe(
        key, {.pattern = {}, .type = "string", .fallback = "", .required = true, .form = std::string{form_name}});
    if (v == nullptr) {
        if (object_ != nullptr) refuse(pointer(key), "is missing: " + std::string{remedy});
        return nullptr;
    }
    if (v->is_string()) return v;
    refuse_type(key, *v, "a string");
    return nullptr;
}

const json* section::checked_array(std::string_view key, const json* v, const std::string& of) {
    if (v == nullptr || v->is_array()) return v;
    refuse_type(key, *v, "a list of " + of);
    return nullptr;
}

const json* section::array(std::string_view key, std::string fallback, std::string_view form_name) {
    return checked_array(
        key,
        describe(key,
                 {.pattern = {}, .type = "array", .fallback = std::move(fallback), .form = std::string{form_name}}),
        "strings");
}

const json* section::object_array(std::string_view key) {
    return checked_array(key, describe(key, {.pattern = {}, .type = "array", .fallback = "[]"}), "objects");
}

const json* section::required_array(std::string_view key, std::string_view form_name) {
    const auto* v = describe(key, {.pattern = {},
                                   .type = "array",
                                   .fallback = "",
                                   .required = true,
                                   .minimum = 1,
                                   .form = std::string{form_name}});
    if ((v == nullptr && object_ != nullptr) || (v != nullptr && v->is_array() && v->empty())) {
        refuse(pointer(key),
               v == nullptr ? "is missing: give a list with at least one" : "is empty: give at least one");
    }
    return checked_array(key, v, "strings");
}

const json* section::choice(std::string_view key, const std::vector<std::string>& words,
                            std::initializer_list<std::string_view> unbuilt, std::string fallback) {
    const auto* v = describe(key, {.pattern = {}, .type = "string", .fallback = std::move(fallback), .words = words});
    if (v == nullptr || (v->is_string() && std::count(words.begin(), words.end(), *v) != 0)) return v;
    std::string wanted;
    for (const auto& word : words) wanted += (wanted.empty() ? "\"" : " or \"") + word + "\"";
    if (std::count(unbuilt.begin(), unbuilt.end(), *v) != 0) {
        refuse(pointer(key), v->dump() + " is not built yet: write " + wanted);
    } else {
        refuse_type(key, *v, wanted);
    }
    return nullptr;
}

const json* section::member(std::string_view key, std::string type, std::string fallback) {
    const bool nullable = type.ends_with("|null");
    const auto* v = describe(key, {.pattern = {}, .type = std::move(type), .fallback = std::move(fallback)});
    if (v == nullptr || v->is_object() || (nullable && v->is_null())) return v;
    refuse_type(key, *v, nullable ? "an object or null" : "an object");
    return nullptr;
}

const json* section::named(std::string_view key, std::int64_t minimum, std::optional<std::int64_t> maximum,
                           std::string_view rule) {
    const bool needed = minimum > 0;
    const auto* v = describe(key, {.pattern = {},
                                   .type = "object",
                                   .fallback = needed ? "" : "{}",
                                   .required = needed,
                                   .minimum = needed ? std::optional{minimum} : std::nullopt,
                                   .maximum = maximum,
                                   .form = std::string{name_form.name}});
    if (v == nullptr) {
        if (object_ != nullptr && needed) refuse(pointer(key), "is missing: it must " + std::string{rule});
        return nullptr;
    }
    if (!v->is_object()) {
        refuse_type(key, *v, "an object");
        return nullptr;
    }
    const auto count = static_cast<std::int64_t>(v->size());
    if (count < minimum || count > maximum.value_or(count)) {
        refuse(pointer(key), "must " + std::string{rule} + "; it holds " + std::to_string(count));
    }
    return v;
}

const json* section::names(std::string_view key, std::string_view form_name) {
    const auto* v = describe(key, {.pattern = {}, .type = "object", .fallback = "", .form = std::string{form_name}});
    if (v == nullptr || v->is_object()) return v;
    refuse_type(key, *v, "an object");
    return nullptr;
}

bool section::checked_integer(const std::string& at, const json& value, range allowed) {
    if (value.is_number_integer() && within(value, allowed)) return true;
    refuse(at, "must be an integer " + span(allowed.minimum, allowed.maximum, "") + ", not " + shown(value));
    return false;
}

void section::describe_any(std::string_view key, key_description description) {
    if (descriptions_ == nullptr) return;
    description.pattern = child_pointer(pointer(key), "*");
    descriptions_->push_back(std::move(description));
}

const json* section::checked_object(const std::string& at, const json& value) {
    if (value.is_object()) return &value;
    refuse(at, "must be an object, not " + shown(value));
    return nullptr;
}

void section::elsewhere(std::string_view key, std::string advice) {
    if (given(key)) refuse(pointer(key), std::move(advice));
    elsewhere_.push_back(key);
}

void section::refuse_unknown() {
    if (object_ == nullptr) return;
    for (const auto& [key, value] : object_->items()) {
        const auto in = [&key = key](const auto& keys) {
            return std::find(keys.begin(), keys.end(), key) != keys.end();
        };
        if (!in(known_) && !in(elsewhere_))
            refuse(pointer(key), "is not a key of scoregate: " + suggestion(key, known_));
    }
}

} // namespace scoregate::config
