// What the code reads, what config/scoregate.schema.json allows and what docs/configuration.md says are the same keys
// with the same types, defaults, ranges and units; and the examples are files that scoregate takes.
#include "unit/config/written.hpp"

#include <algorithm>
#include <map>
#include <sstream>

using namespace scoregate::config;
using nlohmann::json;

namespace {

const std::filesystem::path source_folder{SCOREGATE_SOURCE_DIR};

std::string text_of(const std::filesystem::path& file) {
    std::ifstream in{file};
    REQUIRE(in.good());
    return {std::istreambuf_iterator<char>{in}, {}};
}

json schema() { return json::parse(text_of(source_folder / "config/scoregate.schema.json")); }

bool starts(const std::string& type, const std::string& base) { return type == base || type == base + "|null"; }

// The schema's node of one key; what is only for readers (description, uniqueItems) is left out, and so are conditions,
// which have tests of their own.
json expected_node(const key_description& key, const std::vector<key_description>& all) {
    auto node = json::object();
    const auto form = json{{"$ref", "#/$defs/" + key.form}};
    const bool nullable = key.type.ends_with("|null");
    if (starts(key.type, "string") && !key.form.empty()) {
        if (nullable) {
            node["anyOf"] = {form, {{"type", "null"}}};
        } else {
            node = form;
        }
    } else if (key.type == "object|string") {
        auto object = json{{"type", "object"}, {"additionalProperties", false}};
        for (const auto& child : all)
            if (child.required && child.pattern.starts_with(key.pattern + "/"))
                object["required"].push_back(child.pattern.substr(child.pattern.rfind('/') + 1));
        node["anyOf"] = {form, object};
    } else if (nullable) {
        node["type"] = {key.type.substr(0, key.type.find('|')), "null"};
    } else {
        node["type"] = key.type;
    }
    if (!key.fallback.empty()) node["default"] = json::parse(key.fallback);
    if (!key.words.empty()) node["enum"] = key.words;
    if (!key.unit.empty()) node["x-unit"] = key.unit;
    auto minimum = "minimum";
    auto maximum = "maximum";
    if (key.type == "array") {
        minimum = "minItems";
        maximum = "maxItems";
        if (!key.form.empty()) node["items"] = form;
    } else if (starts(key.type, "object") && key.type != "object|string") {
        minimum = "minProperties";
        maximum = "maxProperties";
        if (key.form.empty()) {
            node["additionalProperties"] = false;
            for (const auto& child : all) {
                const auto last = child.pattern.rfind('/');
                if (child.required && child.pattern.substr(0, last) == key.pattern) {
                    node["required"].push_back(child.pattern.substr(last + 1));
                }
            }
        } else {
            node["propertyNames"] = form;
        }
    }
    if (key.minimum) node[minimum] = *key.minimum;
    if (!key.least.empty()) node["minimum"] = json::parse(key.least);
    if (key.maximum) node[maximum] = *key.maximum;
    return node;
}

void collect(const json& node, const std::string& pointer, std::map<std::string, json>& out) {
    auto own = node;
    const bool of_objects = node.contains("items") && node["items"].contains("properties");
    if (own.contains("propertyNames")) own.erase("additionalProperties");
    if (of_objects) own.erase("items");
    for (const auto* key : {"properties", "description", "uniqueItems", "if", "else"}) own.erase(key);
    // A text or an object with keys of its own.
    const bool either = node.contains("anyOf") && node["anyOf"].back().contains("properties");
    if (either) own["anyOf"].back().erase("properties");
    out[pointer] = own;
    if (either)
        for (const auto& [key, child] : node["anyOf"].back()["properties"].items())
            collect(child, child_pointer(pointer, key), out);
    if (node.contains("properties")) {
        for (const auto& [key, child] : node["properties"].items()) collect(child, child_pointer(pointer, key), out);
    }
    if (node.contains("propertyNames")) collect(node.at("additionalProperties"), child_pointer(pointer, "*"), out);
    if (of_objects) collect(node.at("items"), child_pointer(pointer, "*"), out);
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
    for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
        text.replace(at, from.size(), to);
    }
}

// The first five cells of a key's row in docs/configuration.md.
std::string expected_row(const key_description& key) {
    auto name = key.pattern.substr(1);
    replace_all(name, "/", ".");
    replace_all(name, "certificates.*", "certificates.N");
    replace_all(name, "*", "NAME");
    auto type = key.type;
    replace_all(type, "|", " or ");
    replace_all(type, "array", "list");
    std::string range;
    const auto add = [&range](const std::string& part) { range += (range.empty() ? "" : ", ") + part; };
    if (!key.least.empty()) {
        add(key.least + ".." + std::to_string(*key.maximum));
    } else if (key.minimum && key.maximum) {
        const auto from = std::to_string(*key.minimum);
        add(key.minimum == key.maximum ? "exactly " + from : from + ".." + std::to_string(*key.maximum));
    } else if (key.minimum) {
        add(std::to_string(*key.minimum) + " or more");
    }
    for (const auto& word : key.words) add("`" + word + "`");
    if (!key.form.empty()) add("[" + key.form + "](#forms)");
    const auto fallback = key.required ? "required" : key.fallback.empty() ? "none" : "`" + key.fallback + "`";
    return "| `" + name + "` | " + type + " | " + fallback + " | " + range + " | " + key.unit + " |";
}

} // namespace

TEST_CASE("the schema lists the keys of the code, and no others") {
    const auto keys = describe_keys();
    std::map<std::string, json> in_schema;
    collect(schema(), "", in_schema);
    in_schema.erase("");
    std::map<std::string, json> in_code;
    for (const auto& key : keys) in_code[key.pattern] = expected_node(key, keys);
    REQUIRE(in_code.size() == keys.size());
    for (const auto& [pattern, node] : in_code) {
        CAPTURE(pattern);
        REQUIRE(in_schema.count(pattern) == 1);
        CHECK(in_schema[pattern] == node);
    }
    for (const auto& [pattern, node] : in_schema) {
        CAPTURE(pattern);
        CHECK(in_code.count(pattern) == 1);
    }
}

TEST_CASE("the schema's root is closed and knows that TLS needs a whole pair, at the top and in the list") {
    const auto root = schema();
    CHECK(root.at("type") == "object");
    CHECK(root.at("additionalProperties") == false);
    CHECK(root.at("anyOf") == R"([{"required": ["services"]}, {"required": ["services_dir"]}])"_json);
    CHECK(root.at("if").at("properties").at("allowInsecureConnections").at("const") == true);
    CHECK(root.at("else").at("else").at("$ref") == "#/$defs/pair");
    CHECK(root.at("else").at("if").at("properties").at("acme").at("type") == "object");
    CHECK(root.at("else").at("then").at("$ref") == "#/$defs/issued");
    CHECK(root.at("else").at("properties").at("certificates").at("items").at("$ref") == "#/$defs/pair");
}

TEST_CASE("the schema and the loader agree on what a whole pair is") {
    const auto forms = schema().at("$defs").at("pair").at("oneOf");
    const std::vector<std::string> keys{"sslCertPemFile", "sslKeyPemFile", "sslCname", "sslSecret"};
    std::size_t whole = 0;
    for (unsigned subset = 0; subset < 16; ++subset) {
        auto pair = json::object();
        for (std::size_t i = 0; i < keys.size(); ++i) {
            if ((subset >> i & 1U) != 0) pair[keys[i]] = "x";
        }
        CAPTURE(pair.dump());
        const auto fits = std::count_if(forms.begin(), forms.end(), [&pair](const json& form) {
            const auto there = [&pair](const json& key) { return pair.contains(key.get<std::string>()); };
            const auto& needs = form.at("required");
            const auto& refuses = form.at("properties"); // each is false
            return std::all_of(needs.begin(), needs.end(), there) &&
                   std::none_of(refuses.items().begin(), refuses.items().end(),
                                [&there](const auto& item) { return there(item.key()); });
        });
        whole += static_cast<std::size_t>(fits);
        auto tree = valid();
        for (const auto& key : keys) tree.erase(key);
        tree.update(pair);
        CHECK(written{tree.dump()}.load().value.has_value() == (fits == 1));
        tree = valid();
        tree["certificates"] = json::array({pair});
        CHECK(written{tree.dump()}.load().value.has_value() == (fits == 1));
    }
    CHECK(whole == 2);
}

TEST_CASE("the schema and the loader agree on when a service needs keys or a token") {
    const auto service = schema().at("properties").at("services").at("additionalProperties");
    const auto mode_is = [](const char* mode) {
        return json{{"required", {"auth_mode"}}, {"properties", {{"auth_mode", {{"const", mode}}}}}};
    };
    CHECK(service.at("if") == mode_is("none"));
    CHECK(service.at("else") ==
          json{{"if", mode_is("aml_token")}, {"then", {{"required", {"token"}}}}, {"else", {{"required", {"keys"}}}}});
    CHECK_FALSE(service.contains("then"));

    for (const std::string mode : {"", "key", "aml_token", "none"}) {
        for (unsigned given = 0; given < 4; ++given) {
            const bool keys = (given & 1U) != 0, token = (given & 2U) != 0;
            CAPTURE(mode, keys, token);
            auto tree = valid();
            auto& iris = tree["services"]["iris"];
            iris.erase("auth_mode");
            if (!mode.empty()) iris["auth_mode"] = mode;
            if (keys) iris["keys"]["primary_file"] = "k";
            if (token) iris["token"] = {{"jwks_file", "j"}, {"issuer", "i"}, {"audience", "a"}};
            const bool enough = mode == "none" || (mode == "aml_token" ? token : keys);
            CHECK(written{tree.dump()}.load().value.has_value() == enough);
        }
    }
}

TEST_CASE("the documentation lists the keys of the code, and no others") {
    const auto text = text_of(source_folder / "docs/configuration.md");
    std::vector<std::string> documented;
    std::istringstream in{text};
    for (std::string line; std::getline(in, line);) {
        if (line.starts_with("| `")) documented.push_back(line);
    }
    const auto keys = describe_keys();
    for (const auto& key : keys) {
        const auto row = expected_row(key);
        CAPTURE(row);
        const auto found = std::count_if(documented.begin(), documented.end(), [&row](const std::string& line) {
            return line.starts_with(row) && line.size() > row.size() + 10; // with its meaning
        });
        CHECK(found == 1);
    }
    CHECK(documented.size() == keys.size());
    for (const auto& key : keys) {
        if (!key.form.empty()) {
            CAPTURE(key.form);
            CHECK(text.find("\n| " + key.form + " |") != std::string::npos);
        }
    }
}

TEST_CASE("the examples are taken") {
    const auto* const name =
        GENERATE("config/scoregate.json", "config/examples/smallest.json", "config/examples/insecure-development.json",
                 "config/examples/two-certificates.json");
    CAPTURE(name);
    const auto result = load({source_folder / name, {}});
    CHECK(lines(result.problems) == std::vector<std::string>{});
    CHECK(result.warnings.empty());
    CHECK(result.value);
}

TEST_CASE("no example is left untested") {
    std::size_t examples = 0;
    for (const auto& entry : std::filesystem::directory_iterator{source_folder / "config/examples"}) {
        examples += entry.path().extension() == ".json" ? 1 : 0;
    }
    CHECK(examples == 3);
}

TEST_CASE("config/scoregate.json shows every key, at its default") {
    const auto text = text_of(source_folder / "config/scoregate.json");
    const auto example = json::parse(text, nullptr, true, true);
    for (const auto& key : describe_keys()) {
        if (key.pattern == "/sslSecret" || key.pattern.starts_with("/certificates/")) {
            const auto name = key.pattern.substr(key.pattern.rfind('/') + 1); // in a comment: not beside the others
            CHECK((name == "*" || text.find("\"" + name + "\": \"") != std::string::npos));
            continue;
        }
        if (key.pattern.starts_with("/services/*/token") || key.pattern.starts_with("/client_ca/") ||
            key.pattern.starts_with("/acme/") || key.pattern.starts_with("/strict_transport_security/") ||
            key.pattern.starts_with("/tracing/")) { // the same
            const auto name = key.pattern.substr(key.pattern.rfind('/') + 1);
            CHECK(text.find("\"" + name + "\": " + (key.fallback.empty() ? "" : key.fallback)) != std::string::npos);
            continue;
        }
        auto at = key.pattern;
        replace_all(at, "/services/*", "/services/iris");
        replace_all(at, "/deployments/*", "/deployments/blue");
        replace_all(at, "/traffic/*", "/traffic/blue");
        replace_all(at, "/mirror_traffic/*", "/mirror_traffic/shadow");
        replace_all(at, "/routes/*", "/routes/score");
        replace_all(at, "/headers/*", "/headers/X-Probe");
        CAPTURE(at);
        const json::json_pointer pointer{at};
        REQUIRE(example.contains(pointer));
        const bool shown_by_example = at == "/services/iris/hosts" || at == "/services/iris/routes/score/idempotent" ||
                                      key.type.starts_with("object");
        if (!key.fallback.empty() && !shown_by_example) CHECK(example[pointer] == json::parse(key.fallback));
    }
}

TEST_CASE("the smallest example in the documentation is the file") {
    const auto text = text_of(source_folder / "docs/configuration.md");
    const auto start = text.find("```json\n") + 8;
    const auto shown = text.substr(start, text.find("```", start) - start);
    const auto file = text_of(source_folder / "config/examples/smallest.json");
    CHECK(json::parse(shown) == json::parse(file, nullptr, true, true));
}
