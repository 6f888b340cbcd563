#include "config/document.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <utility>

namespace scoregate::config {
namespace {

using nlohmann::json;

// Makes the tree as the parser goes through the text, for what the tree does not tell: nlohmann::json keeps the last of
// equal keys without a word and no positions. (Its parser with a callback tells, too, but goes through all that an
// object holds again at the end of each of its objects.)
class tree_maker : public json::json_sax_t {
public:
    static constexpr std::size_t most_levels = 32;

    explicit tree_maker(std::map<std::string, std::size_t>& position) : position_(position) {}

    json root;
    std::set<std::string> duplicates; // pointers
    bool too_deep = false;            // and read no further: each level costs the pointers of all above it
    std::string wrong;                // why it is not JSON, as the library says it

    bool null() override { return leaf(nullptr); }
    bool boolean(bool value) override { return leaf(value); }
    bool number_integer(json::number_integer_t value) override { return leaf(value); }
    bool number_unsigned(json::number_unsigned_t value) override { return leaf(value); }
    bool number_float(json::number_float_t value, const std::string&) override { return leaf(value); }
    bool string(std::string& value) override { return leaf(std::move(value)); }
    bool binary(json::binary_t& value) override { return leaf(std::move(value)); } // no text has any
    bool start_object(std::size_t) override { return enter(json::object()); }
    bool start_array(std::size_t) override { return enter(json::array()); }
    bool end_object() override { return leave(); }
    bool end_array() override { return leave(); }

    bool key(std::string& name) override {
        auto& in = open_.back();
        in.key = std::move(name);
        if (in.value->contains(in.key)) duplicates.insert(here());
        return true;
    }

    bool parse_error(std::size_t, const std::string&, const json::exception& error) override {
        wrong = error.what();
        return false;
    }

private:
    struct level {
        json* value; // stays where it is: it is the last that what holds it has, until it ends
        std::string pointer;
        std::string key = {}; // of the value that comes, in an object
    };

    std::string here() const {
        if (open_.empty()) return "";
        const auto& in = open_.back();
        return child_pointer(in.pointer, in.value->is_array() ? std::to_string(in.value->size()) : in.key);
    }

    json& put(json value) {
        if (open_.empty()) return root = std::move(value);
        auto& in = open_.back();
        if (in.value->is_array()) return in.value->emplace_back(std::move(value));
        return (*in.value)[in.key] = std::move(value);
    }

    bool leaf(json value) {
        position_.emplace(here(), position_.size());
        put(std::move(value));
        return true;
    }

    bool enter(json value) {
        too_deep = open_.size() == most_levels;
        if (too_deep) return false;
        auto pointer = here();
        position_.emplace(pointer, position_.size());
        auto& made = put(std::move(value));
        open_.push_back({&made, std::move(pointer)});
        return true;
    }

    bool leave() {
        open_.pop_back();
        return true;
    }

    std::map<std::string, std::size_t>& position_;
    std::vector<level> open_;
};

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> parts;
    while (true) {
        const auto end = text.find(separator);
        parts.emplace_back(text.substr(0, end));
        if (end == std::string_view::npos) return parts;
        text.remove_prefix(end + 1);
    }
}

std::string trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(' ');
    if (first == std::string_view::npos) return "";
    return std::string{text.substr(first, text.find_last_not_of(' ') - first + 1)};
}

bool matches(const std::string& pointer, const std::string& pattern) {
    const auto have = split(pointer, '/');
    const auto want = split(pattern, '/');
    return std::equal(have.begin(), have.end(), want.begin(), want.end(),
                      [](const auto& level, const auto& name) { return name == "*" || name == level; });
}

const key_description* described(const std::string& pointer, const std::vector<key_description>& keys) {
    const auto found =
        std::find_if(keys.begin(), keys.end(), [&](const auto& known) { return matches(pointer, known.pattern); });
    return found == keys.end() ? nullptr : &*found;
}

bool equals_ignoring_case(std::string_view text, std::string_view lower_case) {
    return std::equal(text.begin(), text.end(), lower_case.begin(), lower_case.end(),
                      [](char a, char b) { return a == b || (a >= 'A' && a <= 'Z' && a - 'A' + 'a' == b); });
}

// "null" is the text itself where null is not allowed: nothing else could be meant.
json converted(const std::string& text, std::string_view type) {
    constexpr std::string_view or_null = "|null";
    if (type.ends_with(or_null)) {
        if (text == "null") return nullptr;
        type.remove_suffix(or_null.size());
    }
    if (type == "boolean") {
        if (equals_ignoring_case(text, "true")) return true;
        if (equals_ignoring_case(text, "false")) return false;
    } else if (type == "integer") {
        std::int64_t number = 0;
        const auto* const end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data(), end, number);
        if (error == std::errc{} && stop == end) return number;
    } else if (type == "number") {
        double number = 0;
        const auto* const end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data(), end, number);
        if (error == std::errc{} && stop == end && std::isfinite(number)) return number;
    } else if (type == "array") {
        auto list = json::array();
        if (trimmed(text).empty()) return list;
        for (const auto& item : split(text, ',')) list.push_back(trimmed(item));
        return list;
    }
    return text;
}

} // namespace

document::document(std::string file, std::string_view text) : file_(std::move(file)) {
    tree_maker made{position_};
    readable_ = json::sax_parse(text.begin(), text.end(), &made, json::input_format_t::json, true /* to the end */,
                                true /* comments */);
    if (readable_) root_ = std::move(made.root);
    if (!made.wrong.empty()) {
        auto what = std::move(made.wrong); // "[json.exception.parse_error.101] parse error at line 3, column 5: ..."
        what.erase(0, what.find("] ") + 2);
        // What was read last may be a half of a secret.
        if (const auto quoted = what.find("; last read: "); quoted != what.npos) what.erase(quoted);
        refuse("", "is not JSON: " + what + "; // comments are allowed, a comma after the last entry is not");
    }
    if (made.too_deep)
        refuse("",
               "is nested more than " + std::to_string(tree_maker::most_levels) + " levels deep, which no key needs");
    for (const auto& pointer : made.duplicates) refuse(pointer, "is given more than once: keep one of them");
}

void document::apply(const override_setting& setting, const std::vector<key_description>& keys) {
    if (!root_.is_object()) return; // refused as a whole
    std::string pointer;
    json* at = &root_;
    for (const auto& level : split(setting.key, '.')) {
        const auto inner = child_pointer(pointer, level);
        const auto* const key = described(inner, keys);
        if (key != nullptr && key->type == "array" && key->form.empty()) {
            problems_.push_back({setting.origin, inner, "is a list of objects, which only the file can give"});
            return;
        }
        if (at->is_null()) { // absent so far, or null in the file
            *at = json::object();
            origins_[pointer] = setting.origin;
        }
        if (!at->is_object()) {
            origins_[inner] = setting.origin;
            refuse(inner, "cannot be set: " + pointer + " is not an object in the file");
            return;
        }
        at = &(*at)[level];
        pointer = inner;
    }
    const auto* const key = described(pointer, keys);
    *at = converted(setting.value, key == nullptr ? "string" : key->type);
    origins_[pointer] = setting.origin;
}

bool document::gives(const std::string& key) const {
    const json* at = &root_;
    for (const auto& level : split(key, '.')) {
        if (!at->is_object()) return true;
        const auto found = at->find(level);
        if (found == at->end()) return false;
        at = &*found;
    }
    return true;
}

void document::refuse(const std::string& pointer, std::string message) {
    problems_.push_back({origin_of(pointer), pointer, std::move(message)});
}

const std::string& document::origin_of(const std::string& pointer) const {
    for (std::string_view at = pointer; !at.empty(); at = at.substr(0, at.rfind('/'))) {
        if (const auto found = origins_.find(std::string{at}); found != origins_.end()) return found->second;
    }
    return file_;
}

problems document::take_problems() {
    // What is not in the file (a missing key, an override) stands where the nearest thing that holds it does.
    const auto position = [this](std::string_view pointer) {
        while (true) {
            const auto found = position_.find(std::string{pointer});
            if (found != position_.end()) return found->second;
            if (pointer.empty()) return std::size_t{0};
            pointer = pointer.substr(0, pointer.rfind('/'));
        }
    };
    std::stable_sort(problems_.begin(), problems_.end(),
                     [&](const problem& a, const problem& b) { return position(a.pointer) < position(b.pointer); });
    return std::exchange(problems_, {});
}

} // namespace scoregate::config
