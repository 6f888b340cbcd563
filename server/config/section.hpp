// One object of the configuration while it is read. Each call reads a key, refuses what is wrong with it, and adds the
// key's description when descriptions are asked for: this is how docs, schema and code name the same keys. A key that
// is absent or refused leaves its target at the default. Owned by load() for a moment; must not know any key by name.
#pragma once

#include "config/document.hpp"
#include "config/forms.hpp"

#include <chrono>
#include <concepts>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace scoregate::config {

struct range {
    std::int64_t minimum = 0;
    std::int64_t maximum = 0;
};

class section {
public:
    using json = nlohmann::json;

    // `object` is null where the file has none; `descriptions` is null when only reading is asked for.
    section(document& in, const json* object, std::string pointer, std::vector<key_description>* descriptions)
        : document_(in), object_(object), pointer_(std::move(pointer)), descriptions_(descriptions) {}

    const std::string& pointer() const { return pointer_; }
    std::string pointer(std::string_view key) const { return child_pointer(pointer_, key); }
    bool given(std::string_view key) const { return object_ != nullptr && object_->contains(key); }

    // Whether there is an object to read; if not, keys are only described and keep their defaults.
    bool reading() const { return object_ != nullptr; }

    void boolean(std::string_view key, bool& to);

    template <std::integral Integer>
    void integer(std::string_view key, Integer& to, range allowed, std::string_view unit = "") {
        if (const json* v = number(key, to, allowed, unit, "integer")) to = v->get<Integer>();
    }

    // Null empties it.
    template <std::integral Integer>
    void integer(std::string_view key, std::optional<Integer>& to, range allowed, std::string_view unit = "") {
        const auto fallback = to ? json(*to) : json();
        if (const json* v = number(key, fallback, allowed, unit, "integer|null"))
            to = v->is_null() ? std::nullopt : std::optional{v->template get<Integer>()};
    }

    // A number that may be a fraction. Must be there; `remedy` says what to do when it is not.
    void required_number(std::string_view key, double& to, std::string_view least, std::int64_t maximum,
                         std::string_view remedy);

    void duration(std::string_view key, std::chrono::milliseconds& to, range allowed) {
        if (const json* v = number(key, to.count(), allowed, "ms", "integer")) to = from(*v);
    }
    void duration(std::string_view key, std::optional<std::chrono::milliseconds>& to, range allowed) {
        const auto fallback = to ? json(to->count()) : json();
        if (const json* v = number(key, fallback, allowed, "ms", "integer|null")) {
            to = v->is_null() ? std::nullopt : std::optional{from(*v)};
        }
    }

    // Whole seconds, as Azure has them. `because`: why it may not be another, for who has written it.
    void duration(std::string_view key, std::chrono::seconds& to, range allowed, std::string_view because = "") {
        if (const json* v = number(key, to.count(), allowed, "s", "integer", because))
            to = std::chrono::seconds{v->get<std::int64_t>()};
    }

    // Null empties it.
    template <class T>
    void text(std::string_view key, std::optional<T>& to, const form<T>& wanted) {
        const json* v = string(key, to ? json(to_text(*to)).dump() : "null", wanted.name, "string|null");
        if (v == nullptr) return;
        if (v->is_null()) {
            to.reset();
        } else if (auto parsed = parse(*v, pointer(key), wanted)) {
            to = std::move(*parsed);
        }
    }

    // Without a default where `to` is empty: whether it may be absent is then for the caller to say.
    void text(std::string_view key, std::string& to, const form<std::string>& wanted) {
        if (const json* v = string(key, to.empty() ? "" : json(to).dump(), wanted.name, "string")) {
            if (auto parsed = parse(*v, pointer(key), wanted)) to = std::move(*parsed);
        }
    }

    // Must be there; `remedy` says what to do when it is not.
    void required_text(std::string_view key, std::string& to, const form<std::string>& wanted,
                       std::string_view remedy) {
        if (const json* v = required_string(key, wanted.name, remedy)) {
            if (auto parsed = parse(*v, pointer(key), wanted)) to = std::move(*parsed);
        }
    }

    // A list of texts. The result holds the pointer of each item in `to`. An item that is refused is left out; when
    // all are, `to` stays at the default, so that an empty list is always one that was written.
    template <class T>
    std::vector<std::string> list(std::string_view key, std::vector<T>& to, const form<T>& wanted) {
        auto fallback = json::array();
        for (const auto& item : to) fallback.push_back(to_text(item));
        return items(array(key, fallback.dump(), wanted.name), key, to, wanted);
    }
    // The same where an integer may stand for the text of its digits.
    template <class T>
    std::vector<std::string> list_of_numbers(std::string_view key, std::vector<T>& to, const form<T>& wanted) {
        auto fallback = json::array();
        for (const auto& item : to) fallback.push_back(to_text(item));
        return items(array(key, fallback.dump(), wanted.name), key, to, wanted, integers_in_lists::allowed);
    }
    // The same for a list that must be there and must not be empty.
    template <class T>
    std::vector<std::string> required_list(std::string_view key, std::vector<T>& to, const form<T>& wanted) {
        return items(required_array(key, wanted.name), key, to, wanted);
    }

    // One of some words, each standing for a value; `unbuilt` are those that the contract has and this version does
    // not. Answers whether `to` is what was asked for: false when something else was written.
    template <class Enum>
    bool word(std::string_view key, Enum& to, std::initializer_list<std::pair<std::string_view, Enum>> words,
              std::initializer_list<std::string_view> unbuilt = {}) {
        std::vector<std::string> names;
        std::string fallback;
        for (const auto& [name, value] : words) {
            names.emplace_back(name);
            if (value == to) fallback = json(name).dump();
        }
        const auto* v = choice(key, names, unbuilt, fallback);
        for (const auto& [name, value] : words) {
            if (v != nullptr && *v == name) to = value;
        }
        return v != nullptr || !given(key);
    }

    // An object with keys of its own: read(section&).
    template <class Read>
    void object(std::string_view key, Read read) {
        enter(member(key, "object", "{}"), pointer(key), read);
    }
    // The same without a default: whether it may be absent is for the caller to say.
    template <class Read>
    void optional_object(std::string_view key, Read read) {
        enter(member(key, "object", ""), pointer(key), read);
    }
    // The same where null is allowed: then nothing is read and the answer is true.
    template <class Read>
    bool object_or_null(std::string_view key, Read read, std::string fallback = "{}") {
        const auto* v = member(key, "object|null", std::move(fallback));
        if (v != nullptr && v->is_null()) return true;
        enter(v, pointer(key), read);
        return false;
    }
    // An object whose keys are names: read(section&, name) for each, sorted by name. `rule` completes "must ..."; it is
    // what a missing object or a wrong number of entries is refused with. With a minimum of 0 it may be missing.
    template <class Read>
    void entries(std::string_view key, std::int64_t minimum, std::optional<std::int64_t> maximum, std::string_view rule,
                 Read read) {
        const auto* v = named(key, minimum, maximum, rule);
        const auto at = pointer(key);
        describe_entry(at, [&read](section& inner) { read(inner, std::string{}); });
        if (v == nullptr) return;
        for (const auto& [name, value] : v->items()) {
            const auto entry = child_pointer(at, name);
            parse(json(name), entry, name_form);
            const auto* object = checked_object(entry, value);
            if (object == nullptr) continue;
            enter(object, entry, [&read, &name = name](section& inner) { read(inner, name); });
        }
    }

    // An object whose keys are names and whose values are integers: take(name, value) for each good one, sorted by
    // name. Answers whether it is there.
    template <class Take>
    bool integers(std::string_view key, range allowed, Take take) {
        const auto* v = names(key, name_form.name);
        describe_any(
            key,
            {.pattern = {}, .type = "integer", .fallback = "", .minimum = allowed.minimum, .maximum = allowed.maximum});
        if (v == nullptr) return false;
        for (const auto& [name, value] : v->items())
            if (checked_integer(child_pointer(pointer(key), name), value, allowed))
                take(name, value.template get<std::int64_t>());
        return true;
    }

    // An object whose keys are names of a form and whose values are texts that no message may show: take(name, value)
    // for each good one, sorted by name.
    template <class Take>
    void secrets(std::string_view key, const form<std::string>& named, const form<std::string>& wanted, Take take) {
        const auto* v = names(key, named.name);
        describe_any(key, {.pattern = {}, .type = "string", .fallback = "", .form = std::string{wanted.name}});
        if (v == nullptr) return;
        for (const auto& [name, value] : v->items()) {
            const auto at = child_pointer(pointer(key), name);
            std::string wrong;
            if (!parse(json(name), at, named)) continue;
            if (!value.is_string())
                refuse(at, "must be a string");
            else if (auto parsed = wanted.parse(value.template get_ref<const std::string&>(), wrong))
                take(name, std::move(*parsed));
            else
                refuse(at, std::move(wrong));
        }
    }

    // An object whose values are texts or objects: text(name, value) or read(section&, name) for each, sorted by name.
    // Answers whether it is there. It may not be empty.
    template <class Text, class Read>
    bool texts_or_objects(std::string_view key, std::string_view key_form, const form<std::string>& wanted, Text text,
                          Read read) {
        const auto* v = names(key, key_form);
        const auto at = pointer(key);
        if (descriptions_ != nullptr) {
            describe_any(key,
                         {.pattern = {}, .type = "object|string", .fallback = "", .form = std::string{wanted.name}});
            enter(nullptr, child_pointer(at, "*"), [&read](section& inner) { read(inner, std::string{}); });
        }
        if (v == nullptr) return false;
        if (v->empty()) refuse(at, "is empty: give at least one, or leave it out");
        for (const auto& [name, value] : v->items()) {
            const auto entry = child_pointer(at, name);
            if (value.is_object()) {
                enter(&value, entry, [&read, &name = name](section& inner) { read(inner, name); });
            } else if (!value.is_string()) {
                refuse_text(entry, value, "must be a string or an object");
            } else if (auto parsed = parse(value, entry, wanted)) {
                text(name, std::move(*parsed));
            }
        }
        return true;
    }

    // A list of objects, empty by default: read(section&) for each, in the order of the file. Answers whether any is
    // there, refused ones too.
    template <class Read>
    bool objects(std::string_view key, Read read) {
        const auto* v = object_array(key);
        const auto at = pointer(key);
        describe_entry(at, read);
        if (v == nullptr) return false;
        for (std::size_t i = 0; i < v->size(); ++i) {
            const auto entry = child_pointer(at, std::to_string(i));
            if (const auto* object = checked_object(entry, (*v)[i])) enter(object, entry, read);
        }
        return !v->empty();
    }

    // A key of somebody else's configuration: refused, where it is given, with what to write or do instead.
    void elsewhere(std::string_view key, std::string advice);

    void refuse(const std::string& pointer, std::string message) { document_.refuse(pointer, std::move(message)); }

    // After the last key: what else is in the object is refused.
    void refuse_unknown();

private:
    static std::chrono::milliseconds from(const json& v) { return std::chrono::milliseconds{v.get<std::int64_t>()}; }

    const json* find(std::string_view key) const;
    const json* describe(std::string_view key, key_description); // and find
    void refuse_type(std::string_view key, const json& value, const std::string& wanted);

    // Each describes the key and answers the value when it is there and of the type, else null.
    const json* number(std::string_view key, const json& fallback, range, std::string_view unit, std::string type,
                       std::string_view because = "");
    const json* string(std::string_view key, std::string fallback, std::string_view form_name, std::string type);
    const json* required_string(std::string_view key, std::string_view form_name, std::string_view remedy);
    const json* array(std::string_view key, std::string fallback, std::string_view form_name);
    const json* object_array(std::string_view key);
    const json* required_array(std::string_view key, std::string_view form_name);
    const json* choice(std::string_view key, const std::vector<std::string>& words,
                       std::initializer_list<std::string_view> unbuilt, std::string fallback);
    const json* member(std::string_view key, std::string type, std::string fallback);
    const json* named(std::string_view key, std::int64_t minimum, std::optional<std::int64_t> maximum,
                      std::string_view rule);
    const json* names(std::string_view key, std::string_view form_name);
    bool checked_integer(const std::string& at, const json&, range allowed);
    void describe_any(std::string_view key, key_description);
    // Null when it is refused.
    const json* checked_array(std::string_view key, const json*, const std::string& of);
    const json* checked_object(const std::string& at, const json&);
    void refuse_text(const std::string& at, const json& value, const std::string& wrong);

    template <class T>
    std::optional<T> parse(const json& v, const std::string& at, const form<T>& wanted) {
        std::string wrong;
        const auto& text = v.template get_ref<const std::string&>();
        std::optional<T> parsed;
        if (!holds_pem(text)) parsed = wanted.parse(text, wrong); // a name may look like PEM in base64
        if (!parsed) refuse_text(at, v, wrong);
        return parsed;
    }

    enum class integers_in_lists : std::uint8_t { refused, allowed };

    template <class T>
    std::vector<std::string> items(const json* v, std::string_view key, std::vector<T>& to, const form<T>& wanted,
                                   integers_in_lists rule = integers_in_lists::refused) {
        std::vector<T> taken;
        std::vector<std::string> pointers;
        const auto count = v != nullptr ? v->size() : to.size();
        for (std::size_t i = 0; i < count; ++i) {
            auto at = child_pointer(pointer(key), std::to_string(i));
            if (v == nullptr) {
                pointers.push_back(std::move(at));
                continue;
            }
            auto item = (*v)[i];
            if (rule == integers_in_lists::allowed && item.is_number_integer()) item = item.dump();
            if (!item.is_string()) {
                refuse_text(at, item,
                            rule == integers_in_lists::allowed ? "must be an integer or a string" : "must be a string");
            } else if (auto parsed = parse(item, at, wanted)) {
                taken.push_back(std::move(*parsed));
                pointers.push_back(std::move(at));
            }
        }
        if (v != nullptr && (!taken.empty() || v->empty())) to = std::move(taken);
        return pointers;
    }

    // The row of any one entry and those of its keys.
    template <class Read>
    void describe_entry(const std::string& at, const Read& read) {
        if (descriptions_ == nullptr) return;
        auto any = child_pointer(at, "*");
        descriptions_->push_back({any, "object", ""});
        enter(nullptr, std::move(any), read);
    }

    template <class Read>
    void enter(const json* v, std::string at, const Read& read) {
        section inner{document_, v, std::move(at), descriptions_};
        read(inner);
        inner.refuse_unknown();
    }

    document& document_;
    const json* object_;
    std::string pointer_;
    std::vector<key_description>* descriptions_;
    std::vector<std::string_view> known_;
    std::vector<std::string_view> elsewhere_;
};

} // namespace scoregate::config
