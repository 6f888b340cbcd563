#include "auth/credentials.hpp"

#include "auth/key_set.hpp"
#include "auth/read_file.hpp"

#include <utility>

namespace scoregate::auth {

namespace {

// Of an issuer with many keys and their certificates it is some 20 KiB.
constexpr std::size_t max_key_set_size = 1024 * 1024;

credential_load load(const std::string&, const config::key_files& files, const std::string& config_file) {
    auto keys = load_keys(files, config_file);
    return {{std::move(keys.value), {}}, std::move(keys.problems), std::move(keys.warnings), keys.content};
}

credential_load load(const std::string& service, const config::token_settings& settings,
                     const std::string& config_file) {
    credential_load loaded;
    const auto refuse = [&](std::string why) {
        loaded.problems.push_back(
            {settings.file.empty() ? config_file : settings.file, settings.pointer + "/jwks_file", std::move(why)});
    };
    const auto& path = settings.jwks_file;
    const auto room = std::make_unique_for_overwrite<char[]>(max_key_set_size + 1);
    const auto file = read_file(path, {room.get(), max_key_set_size + 1}, "the keys of the issuer",
                                "save there what the issuer publishes at its jwks_uri");
    const std::string_view text(room.get(), file.size);
    loaded.content = file.defect.empty() ? sha256("held ", text) : sha256("unreadable ", file.defect);
    if (!file.defect.empty()) {
        refuse(file.defect);
    } else if (file.size > max_key_set_size) {
        refuse(path + " is larger than 1 MiB, which no JWKS is; name the right file");
    } else {
        auto parsed = parse_key_set(text);
        const auto of_file = [&](const std::string& what) { return std::string(path).append(": ").append(what); };
        for (const auto& each : parsed.defects) refuse(of_file(each));
        for (const auto& each : parsed.warnings) loaded.warnings.push_back(of_file(each));
        if (parsed.value)
            loaded.value.tokens = std::make_shared<const token_verifier>(service, settings, std::move(parsed.value));
    }
    return loaded;
}

credential_load load(const std::string&, const admin_token& settings, const std::string& config_file) {
    auto keys = load_admin_token(settings.token_file, config_file);
    return {{std::move(keys.value), {}}, std::move(keys.problems), std::move(keys.warnings), keys.content};
}

} // namespace

std::string credential_source::unit() const {
    if (std::holds_alternative<admin_token>(settings)) return "admin_token";
    return (std::holds_alternative<config::key_files>(settings) ? "keys:" : "jwks:") + service;
}

const std::string& credential_source::file() const {
    static const std::string main_one;
    if (const auto* const keys = std::get_if<config::key_files>(&settings)) return keys->file;
    if (const auto* const token = std::get_if<config::token_settings>(&settings)) return token->file;
    return main_one;
}

std::string credential_source::pointer() const {
    if (const auto* const keys = std::get_if<config::key_files>(&settings)) return keys->pointer;
    if (const auto* const token = std::get_if<config::token_settings>(&settings)) return token->pointer;
    return "/admin/token_file";
}

std::vector<std::string> credential_source::files() const {
    if (const auto* const token = std::get_if<config::token_settings>(&settings)) return {token->jwks_file};
    if (const auto* const admin = std::get_if<admin_token>(&settings)) return {admin->token_file};
    const auto& keys = std::get<config::key_files>(settings);
    return keys.secondary ? std::vector{keys.primary, *keys.secondary} : std::vector{keys.primary};
}

std::optional<credential_source> source_of(const config::service& service) {
    if (service.keys) return credential_source{service.name, *service.keys};
    if (service.token) return credential_source{service.name, *service.token};
    return std::nullopt;
}

credential_load load_credentials(const credential_source& from, const std::string& config_file) {
    return std::visit([&](const auto& each) { return load(from.service, each, config_file); }, from.settings);
}

} // namespace scoregate::auth
