#include "config/services_folder.hpp"

#include "config/load.hpp"

#include <nlohmann/json.hpp>

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

namespace fs = std::filesystem;

constexpr std::size_t max_file_size = 16 * 1024 * 1024; // /dev/zero has no end
constexpr std::string_view ending = ".json";

std::string read_all(int file, bool regular, std::string& text) {
    struct stat status {};
    if (::fstat(file, &status) != 0) return std::generic_category().message(errno);
    if (regular && !S_ISREG(status.st_mode)) return "it is not a regular file, so what it held is gone";
    std::array<char, 16384> part{};
    for (;;) {
        const auto n = ::read(file, part.data(), part.size());
        if (n == 0) return {};
        if (n < 0 && errno != EINTR) return std::generic_category().message(errno);
        if (n > 0) text.append(part.data(), static_cast<std::size_t>(n));
        if (text.size() > max_file_size) return "it is larger than 16 MiB";
    }
}

} // namespace

std::string read_file(const std::string& path, bool regular, std::string& text) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | (regular ? O_NONBLOCK : 0));
    if (file < 0) return std::generic_category().message(errno);
    auto wrong = read_all(file, regular, text);
    ::close(file);
    if (!wrong.empty()) text.clear();
    return wrong;
}

services_folder read_services_folder(const std::string& path) {
    services_folder found;
    found.path = path;
    if (path.empty()) return found;
    std::error_code ec;
    for (fs::directory_iterator each(path, ec), end; !ec && each != end; each.increment(ec)) {
        const auto name = each->path().filename().string();
        if (name.starts_with('.')) continue;
        services_folder::file one;
        one.path = (fs::path(path) / name).string();
        std::error_code unknown;
        if (each->is_directory(unknown)) {
            one.name = name;
            one.problem = "is a directory, and services_dir holds files alone: move it elsewhere";
        } else if (name.ends_with(ending)) {
            one.name = name.substr(0, name.size() - ending.size());
            if (const auto wrong = read_file(one.path, true, one.text); !wrong.empty())
                one.problem = "cannot be read (" + wrong + "): let scoregate read it, or take it away";
        } else {
            continue;
        }
        found.files.push_back(std::move(one));
    }
    if (ec)
        found.problem = "cannot be listed (" + ec.message() + "): name a directory of files NAME.json, or write null";
    std::sort(found.files.begin(), found.files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
    return found;
}

namespace {

std::string services_folder_of(const source& from, const std::string& text) {
    using nlohmann::json;
    const auto tree = json::parse(text, nullptr, false /* exceptions */, true /* comments */);
    if (!tree.is_object()) return {};
    std::string folder;
    const auto found = tree.find("services_dir");
    if (found != tree.end() && found->is_string()) folder = found->get<std::string>();
    bool given = found != tree.end();
    for (const auto& each : from.overrides) {
        if (each.key != "services_dir" || (each.yields && given)) continue;
        folder = each.value == "null" ? "" : each.value;
        given = given || !each.yields;
    }
    if (folder.empty()) return {};
    while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
    return (fs::path(from.file).parent_path() / folder).lexically_normal().string();
}

} // namespace

const std::string& services_dir::of(const source& from, const std::string& text) {
    if (text == text_) return path_;
    path_ = services_folder_of(from, text);
    text_ = text;
    return path_;
}

std::vector<std::string> services_folder::watched() const {
    std::vector<std::string> all;
    if (path.empty()) return all;
    const auto folder = fs::absolute(path);
    all.push_back((folder / ".").string()); // also while it holds nothing
    for (const auto& each : files) all.push_back((folder / fs::path(each.path).filename()).string());
    return all;
}

} // namespace scoregate::config
