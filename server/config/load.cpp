#include "config/load.hpp"

#include "config/document.hpp"
#include "config/settings_reader.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>

namespace scoregate::config {
namespace {

// stdio, because a stream does not say why it failed (a directory opens and only reading it fails).
std::optional<std::string> read_file(const std::string& path, problems& out) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{std::fopen(path.c_str(), "rbe"), &std::fclose};
    std::string text;
    if (file) {
        std::array<char, 16384> part{};
        while (const auto n = std::fread(part.data(), 1, part.size(), file.get())) text.append(part.data(), n);
        if (std::ferror(file.get()) == 0) return text;
    }
    out.push_back({path, "",
                   "cannot be read (" + std::generic_category().message(errno) +
                       "): name a readable configuration file with --config"});
    return {};
}

void make_absolute(settings& to, const std::string& file) {
    const auto folder = std::filesystem::absolute(file).parent_path();
    const auto resolve = [&folder](std::string& path) { path = (folder / path).lexically_normal().string(); };
    if (to.certificate) {
        resolve(to.certificate->certificate);
        resolve(to.certificate->key);
    }
    if (auto& log = to.access_log.path; log && *log != "-") resolve(*log);
}

} // namespace

load_result load(const source& from) {
    load_result out;
    const auto text = read_file(from.file, out.problems);
    if (!text) return out;

    document tree{from.file, *text};
    if (tree.readable()) {
        const auto keys = describe_keys();
        for (const auto& setting : from.overrides) tree.apply(setting, keys);
        settings read;
        settings_reader reader{tree, read};
        reader.read();
        make_absolute(read, from.file);
        read.file = from.file;
        out.warnings = reader.take_warnings();
        out.certificate = read.certificate;
        out.value = std::move(read);
    }
    out.problems = tree.take_problems();
    if (!out.problems.empty()) out.value.reset();
    return out;
}

std::vector<key_description> describe_keys() {
    document nothing{"", "{}"};
    settings defaults;
    std::vector<key_description> keys;
    settings_reader{nothing, defaults}.read(&keys);
    return keys;
}

} // namespace scoregate::config
