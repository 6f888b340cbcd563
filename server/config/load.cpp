#include "config/load.hpp"

#include "config/document.hpp"
#include "config/settings_reader.hpp"

#include <algorithm>
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
    const auto resolve_folder = [&resolve](std::string& path) { // "tls/" and "tls" are the same
        resolve(path);
        if (path.size() > 1 && path.ends_with('/')) path.pop_back();
    };
    for (auto& each : to.certificates) {
        if (each.secret.empty()) {
            resolve(each.certificate);
            resolve(each.key);
        } else {
            resolve_folder(each.secret);
        }
    }
    if (to.ticket_keys_dir) resolve_folder(*to.ticket_keys_dir);
    if (auto& log = to.access_log.path; log && *log != "-") resolve(*log);
}

// Paths are absolute, so that the same pair is seen however it is written.
void refuse_repeated(const std::vector<certificate_files>& all, document& in) {
    for (auto each = all.begin(); each != all.end(); ++each) {
        const auto first = std::find(all.begin(), each, *each);
        if (first == each) continue;
        in.refuse(each->pointer, "is the same pair as " +
                                     (first->pointer.empty() ? "that at the top of the file" : first->pointer) +
                                     ": keep one");
    }
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
        refuse_repeated(read.certificates, tree);
        read.file = from.file;
        out.warnings = reader.take_warnings();
        out.certificates = read.certificates;
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
