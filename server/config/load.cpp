#include "config/load.hpp"

#include "config/document.hpp"
#include "config/settings_reader.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace scoregate::config {
namespace {

constexpr std::size_t max_file_size = 16 * 1024 * 1024; // /dev/zero has no end

// Empty once the text is whole, otherwise what is wrong.
std::string read_all(int file, bool again, std::string& text) {
    struct stat status {};
    if (::fstat(file, &status) != 0) return std::generic_category().message(errno);
    if (again && !S_ISREG(status.st_mode)) return "it is not a regular file, so what it held is gone";
    std::array<char, 16384> part{};
    for (;;) {
        const auto n = ::read(file, part.data(), part.size());
        if (n == 0) return {};
        if (n < 0 && errno != EINTR) return std::generic_category().message(errno);
        if (n > 0) text.append(part.data(), static_cast<std::size_t>(n));
        if (text.size() > max_file_size) return "it is larger than 16 MiB";
    }
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
    for (auto& each : to.services) {
        if (!each.keys) continue;
        resolve(each.keys->primary);
        if (each.keys->secondary) resolve(*each.keys->secondary);
    }
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

// With one file for both, no key could be changed while clients still hold the other.
void refuse_one_file_for_both_keys(const std::vector<service>& services, document& in) {
    for (const auto& each : services) {
        if (!each.keys || each.keys->secondary != each.keys->primary) continue;
        in.refuse(child_pointer(each.keys->pointer, "secondary_file"),
                  "is the same file as primary_file: name another, or write null for one key only");
    }
}

void refuse_unknown_default(const settings& made, document& in) {
    if (!made.default_service) return;
    const auto named = [&name = *made.default_service](const service& each) { return each.name == name; };
    if (std::none_of(made.services.begin(), made.services.end(), named))
        in.refuse("/default_service", "\"" + *made.default_service +
                                          "\" is not one of the services: name one of them, or write null for none");
}

} // namespace

file_text read_text(const source& from, bool again) {
    file_text out;
    // Non-blocking, so that a pipe in the file's place cannot hold up a reload; at the start it may be one.
    const int file = ::open(from.file.c_str(), O_RDONLY | O_CLOEXEC | (again ? O_NONBLOCK : 0));
    auto wrong = file < 0 ? std::generic_category().message(errno) : read_all(file, again, out.text);
    if (file >= 0) ::close(file);
    if (wrong.empty()) return out;
    out.text.clear();
    out.problems.push_back(
        {from.file, "", "cannot be read (" + wrong + "): name a readable configuration file with --config"});
    return out;
}

load_result load(const source& from, const file_text& read) {
    load_result out;
    out.problems = read.problems;
    if (!out.problems.empty()) return out;

    document tree{from.file, read.text};
    if (tree.readable()) {
        const auto keys = describe_keys();
        for (const auto& setting : from.overrides) tree.apply(setting, keys);
        settings made;
        settings_reader reader{tree, made};
        reader.read();
        make_absolute(made, from.file);
        refuse_repeated(made.certificates, tree);
        refuse_one_file_for_both_keys(made.services, tree);
        refuse_unknown_default(made, tree);
        made.file = from.file;
        out.warnings = reader.take_warnings();
        out.certificates = made.certificates;
        out.value = std::move(made);
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
