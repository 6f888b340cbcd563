#include "azureml/yaml_tree.hpp"

#include <yaml.h>

#include <algorithm>
#include <map>
#include <new>
#include <utility>

namespace scoregate::azureml {

namespace {

constexpr std::size_t most_levels = 16;
constexpr std::size_t most_weight = 10000;   // see weight_of()
constexpr std::size_t most_name_bytes = 200; // each is part of the pointers of all below it

class parser {
public:
    explicit parser(std::string_view text) {
        if (yaml_parser_initialize(&parser_) == 0) throw std::bad_alloc();
        yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
    }
    ~parser() { yaml_parser_delete(&parser_); }
    parser(const parser&) = delete;
    parser& operator=(const parser&) = delete;

    bool next(yaml_event_t& event) { return yaml_parser_parse(&parser_, &event) != 0; }

    // Of the error that next() ended with. What libyaml says is fixed text, nothing of the file's.
    std::string wrong() const { return parser_.problem == nullptr ? "it cannot be read" : parser_.problem; }
    unsigned line() const {
        const auto& mark = parser_.error == YAML_READER_ERROR ? parser_.mark : parser_.problem_mark;
        return static_cast<unsigned>(mark.line) + 1;
    }

private:
    yaml_parser_t parser_{};
};

std::string_view text_of(const yaml_char_t* text) {
    return text == nullptr ? std::string_view{} : reinterpret_cast<const char*>(text);
}

bool is_null(std::string_view plain) {
    return plain.empty() || plain == "~" || plain == "null" || plain == "Null" || plain == "NULL";
}

bool is_small(const std::string& file, std::string_view text, config::problems& out) {
    if (text.size() <= most_yaml_bytes) return true;
    out.push_back({file, "",
                   "is larger than " + std::to_string(most_yaml_bytes / 1024) +
                       " KiB: no file of Azure ML is, so name the right one"});
    return false;
}

// What a tree costs, in nodes; long texts count for more than one.
std::size_t weight_of(const node& tree) {
    std::size_t weight = 1 + tree.text.size() / 64;
    for (const auto& each : tree.items) weight += weight_of(each);
    return weight;
}

std::size_t levels_of(const node& tree) {
    std::size_t deepest = 0;
    for (const auto& each : tree.items) deepest = std::max(deepest, levels_of(each));
    return tree.items.empty() ? 0 : deepest + 1;
}

class tree_maker {
public:
    tree_maker(const std::string& file, config::problems& out) : file_(file), problems_(out) {}

    node root;

    // False: no more is wanted, because the file is refused.
    bool take(const yaml_event_t& event) {
        line_ = static_cast<unsigned>(event.start_mark.line) + 1;
        switch (event.type) {
        case YAML_DOCUMENT_START_EVENT:
            return ++documents_ == 1 || refuse("begins a second document: give each its own file");
        case YAML_ALIAS_EVENT: return take_alias(text_of(event.data.alias.anchor));
        case YAML_SCALAR_EVENT: return take_scalar(event.data.scalar);
        case YAML_SEQUENCE_START_EVENT:
            return enter(node::kind::list, event.data.sequence_start.anchor, event.data.sequence_start.tag);
        case YAML_MAPPING_START_EVENT:
            return enter(node::kind::mapping, event.data.mapping_start.anchor, event.data.mapping_start.tag);
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT: return leave();
        default: return true;
        }
    }

private:
    struct level {
        node* in; // stays where it is: it is the last that what holds it has, until it ends
        std::string pointer;
        std::string anchor;
        bool named = false; // of a mapping: its next entry has a name, and its value comes
        std::string name{};
        unsigned line = 0;
    };

    bool refuse(std::string message) {
        problems_.push_back({place(file_, line_), here(), std::move(message)});
        return false;
    }

    std::string here() const {
        if (open_.empty()) return "";
        const auto& in = open_.back();
        if (in.in->is == node::kind::list)
            return config::child_pointer(in.pointer, std::to_string(in.in->items.size()));
        return in.named ? config::child_pointer(in.pointer, in.name) : in.pointer;
    }

    bool awaits_name() const {
        return !open_.empty() && open_.back().in->is == node::kind::mapping && !open_.back().named;
    }

    bool take_scalar(const auto& scalar) {
        if (scalar.tag != nullptr) return refuse("has a tag: write the value without");
        const std::string_view text{reinterpret_cast<const char*>(scalar.value), scalar.length};
        const bool plain = scalar.style == YAML_PLAIN_SCALAR_STYLE;
        if (awaits_name()) return take_name(text, plain);
        node made;
        made.is = plain && is_null(text) ? node::kind::nothing : node::kind::scalar;
        made.text = text;
        const auto* const kept = put(std::move(made));
        if (kept != nullptr) remember(text_of(scalar.anchor), *kept);
        return kept != nullptr;
    }

    bool take_name(std::string_view text, bool plain) {
        if (plain && text == "<<") return refuse("merges another mapping (<<): write its entries out here");
        if (text.size() > most_name_bytes)
            return refuse("has a name of more than " + std::to_string(most_name_bytes) + " bytes: shorten it");
        auto& in = open_.back();
        in.named = true;
        in.name = text;
        in.line = line_;
        if (in.in->find(text) != nullptr) refuse("is given more than once: keep one of them");
        return true;
    }

    bool take_alias(std::string_view anchor) {
        if (awaits_name()) return refuse("has an alias for a name: write the name out");
        const auto found = anchors_.find(anchor);
        if (found == anchors_.end())
            return refuse("refers to an anchor that does not stand whole above it: write the value out");
        auto copy = found->second;
        if (open_.size() + levels_of(copy) > most_levels) return too_deep();
        return put(std::move(copy)) != nullptr;
    }

    bool enter(node::kind is, const yaml_char_t* anchor, const yaml_char_t* tag) {
        if (tag != nullptr) return refuse("has a tag: write the value without");
        if (awaits_name()) return refuse("has a name that is no text: write a plain one");
        if (open_.size() == most_levels) return too_deep();
        auto pointer = here();
        node made;
        made.is = is;
        auto* const kept = put(std::move(made));
        if (kept != nullptr) open_.push_back({kept, std::move(pointer), std::string(text_of(anchor))});
        return kept != nullptr;
    }

    bool leave() {
        remember(open_.back().anchor, *open_.back().in);
        open_.pop_back();
        return true;
    }

    bool too_deep() {
        return refuse("is nested more than " + std::to_string(most_levels) + " levels deep, which no key needs");
    }

    // Where it is kept; null if that is refused.
    node* put(node made) {
        weight_ += weight_of(made);
        if (weight_ > most_weight) {
            refuse("is more than any file of Azure ML needs, aliases counted as what they stand for: shorten it");
            return nullptr;
        }
        made.line = line_;
        made.name.clear();
        if (open_.empty()) return &(root = std::move(made));
        auto& in = open_.back();
        if (in.named) {
            made.name = std::exchange(in.name, {});
            made.line = in.line;
            in.named = false;
        }
        return &in.in->items.emplace_back(std::move(made));
    }

    void remember(std::string_view anchor, const node& whole) {
        if (!anchor.empty()) anchors_.insert_or_assign(std::string(anchor), whole);
    }

    const std::string& file_;
    config::problems& problems_;
    unsigned line_ = 1;
    unsigned documents_ = 0;
    std::size_t weight_ = 0;
    std::vector<level> open_;
    std::map<std::string, node, std::less<>> anchors_;
};

} // namespace

const node* node::find(std::string_view wanted) const {
    const auto found = std::find_if(items.begin(), items.end(), [&](const node& each) { return each.name == wanted; });
    return is == kind::mapping && found != items.end() ? &*found : nullptr;
}

std::string place(const std::string& file, unsigned line) { return file + ":" + std::to_string(line); }

bool is_whole(const source_file& file, config::problems& out) {
    if (!file.defect.empty()) {
        out.push_back({"", "", file.defect});
        return false;
    }
    return is_small(file.name, file.text, out);
}

node read_yaml(const std::string& file, std::string_view text, config::problems& out) {
    if (!is_small(file, text, out)) return {};
    const auto before = out.size();
    parser from(text);
    tree_maker made(file, out);
    for (bool more = true; more;) {
        yaml_event_t event;
        if (!from.next(event)) {
            out.push_back({place(file, from.line()), "", "is not YAML: " + from.wrong()});
            break;
        }
        more = event.type != YAML_STREAM_END_EVENT && made.take(event);
        yaml_event_delete(&event);
    }
    return out.size() == before ? std::move(made.root) : node{};
}

node read_mapping(const source_file& file, const std::string& what, config::problems& out) {
    if (!is_whole(file, out)) return {};
    const auto before = out.size();
    auto root = read_yaml(file.name, file.text, out);
    if (root.is == node::kind::mapping) return root;
    if (out.size() == before) out.push_back({file.name, "", "must be a mapping, " + what + ": name the right file"});
    return {};
}

} // namespace scoregate::azureml
