#include "azureml/conversion.hpp"
#include "config/load.hpp"
#include "fuzz/must.hpp"
#include "fuzz/properties.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace scoregate::fuzz {

namespace {

using nlohmann::json;

// What stands between NULs.
std::vector<std::string> parts_of(input bytes) {
    std::vector<std::string> parts{""};
    for (const auto byte : bytes) {
        if (byte == 0)
            parts.emplace_back();
        else
            parts.back() += static_cast<char>(byte);
    }
    return parts;
}

// An escape may stand for any of its letters.
bool says(std::string_view text, std::string_view word) {
    return text.find(word) != std::string_view::npos || text.find('\\') != std::string_view::npos;
}

void must_tell(const config::problems& all) {
    for (const auto& each : all) {
        must(!each.message.empty(), "what is told has a text");
        must(each.pointer.empty() || each.pointer.front() == '/', "and a pointer");
        must(each.pointer.empty() || !each.file.empty(), "into something that is named");
    }
}

// What was made is JSON in which each service is as whole as a start wants it, and no name is of our own making.
void must_be_whole(const json& made, const std::vector<std::string>& parts) {
    const auto& services = made.at("services");
    must(services.size() == 1, "one endpoint is one service");
    const auto& service = *services.begin();
    must(says(parts[0], services.begin().key()), "its name is the file's");
    const auto& deployments = service.at("deployments");
    must(!deployments.empty() && deployments.size() <= 2, "each deployment is one of the files'");
    unsigned sum = 0;
    const bool divided = service.contains("traffic");
    for (const auto& [one, settings] : deployments.items()) {
        must(says(parts[1], one) || (parts.size() > 2 && says(parts[2], one)), "and its name, too");
        must(settings.at("replicas").size() == 1, "with the replicas that were named");
        if (divided) sum += service["traffic"].value(one, 0U);
    }
    must(!divided || sum == 0 || sum == 100, "traffic is all or nothing");
    must(divided || deployments.size() == 1, "and said where there are two");
}

} // namespace

void azureml_import(input bytes) {
    const auto parts = parts_of(bytes);
    azureml::order given;
    given.endpoints = {{"endpoint.yml", parts[0]}};
    if (parts.size() > 1) given.deployments.push_back({"blue.yml", parts[1]});
    if (parts.size() > 2 && !parts[2].empty()) given.deployments.push_back({"green.yml", parts[2]});
    if (parts.size() > 3) given.extension = {{"settings", parts[3]}};
    given.kubernetes_namespace = "models";
    given.jwks_file = "keys/jwks.json";
    given.issuer = "https://login.contoso.com";

    const auto made = azureml::convert(given);
    must(made.told.problems.empty() != made.configuration.empty(), "made, or refused for a reason");
    must_tell(made.told.problems);
    for (const auto& each : made.told.notes) must(!each.message.empty(), "a note has a text");
    if (made.configuration.empty()) return;

    const auto tree = json::parse(made.configuration, nullptr, false, true);
    must(tree.is_object(), "what is made is JSON");
    must_be_whole(tree, parts);
    config::file_text read;
    read.text = made.configuration;
    must(config::load({"scoregate.json", {}}, read).value.has_value(), "that passes every check of a configuration");
    must(azureml::convert(given).configuration == made.configuration, "the same each time");
}

} // namespace scoregate::fuzz
