#include "auth/keys.hpp"

#include "auth/key_file.hpp"
#include "auth/read_file.hpp"

namespace scoregate::auth {

namespace {

// Both files, read and checked.
struct key_pair {
    key_file primary;
    std::optional<key_file> secondary;

    explicit key_pair(const config::key_files& files) : primary(files.primary) {
        if (files.secondary) secondary.emplace(*files.secondary);
    }

    // Digests are of one size, so that no two pairs read the same.
    sha256_digest content() const noexcept {
        const auto text = [](const sha256_digest& digest) {
            return std::string_view(reinterpret_cast<const char*>(digest.data()), digest.size());
        };
        return sha256(text(primary.content()), secondary ? text(secondary->content()) : std::string_view{});
    }
};

} // namespace

service_keys::service_keys(std::string_view primary, std::optional<std::string_view> secondary) noexcept
    : primary_(sha256(primary)) {
    if (secondary) secondary_ = sha256(*secondary);
}

key_name service_keys::match(std::string_view presented) const noexcept {
    if (presented.size() > max_key_size) return key_name::none; // not worth the time: no key is that long
    const auto digest = sha256(presented);
    const unsigned is_primary = equal(digest, primary_);
    const unsigned is_secondary = secondary_ && equal(digest, *secondary_);
    // Arithmetic instead of branches, so that the one takes no longer than the other.
    return static_cast<key_name>(is_primary + 2 * (is_secondary & ~is_primary));
}

key_load load_keys(const config::key_files& files, const std::string& config_file) {
    key_load loaded;
    const key_pair keys(files);
    loaded.content = keys.content();
    const auto judge = [&](const key_file& file, const std::string& path, const char* setting) {
        if (!file.defect().empty())
            loaded.problems.push_back(
                {files.file.empty() ? config_file : files.file, files.pointer + "/" + setting, file.defect()});
        else if (file.readable_by_others())
            loaded.warnings.push_back(open_to_all(path, "who has the key can call the service"));
    };
    judge(keys.primary, files.primary, "primary_file");
    if (keys.secondary) judge(*keys.secondary, *files.secondary, "secondary_file");
    if (!loaded.problems.empty()) return loaded;

    std::optional<std::string_view> secondary;
    if (keys.secondary) secondary = keys.secondary->key();
    if (secondary == keys.primary.key())
        loaded.warnings.push_back(files.primary + " and " + *files.secondary +
                                  " hold the same key, so neither can be exchanged while clients use it; make another: "
                                  "scoregate key generate > " +
                                  *files.secondary);
    loaded.value = std::make_shared<const service_keys>(keys.primary.key(), secondary);
    return loaded;
}

key_load load_admin_token(const std::string& path, const std::string& config_file) {
    key_load loaded;
    const key_file token(path);
    loaded.content = token.content();
    if (!token.defect().empty()) {
        loaded.problems.push_back({config_file, "/admin/token_file", token.defect()});
        return loaded;
    }
    if (token.readable_by_others())
        loaded.warnings.push_back(open_to_all(path, "who has the token can stop this scoregate"));
    loaded.value = std::make_shared<const service_keys>(token.key(), std::nullopt);
    return loaded;
}

std::array<unsigned char, 32> read_content(const config::key_files& files) { return key_pair(files).content(); }

} // namespace scoregate::auth
