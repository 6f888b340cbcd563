#include "base/file_replacement.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <stdexcept>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace scoregate::base {

namespace fs = std::filesystem;

namespace {

struct descriptor {
    int value;
    ~descriptor() {
        if (value >= 0) ::close(value);
    }
};

[[noreturn]] void fail(const std::string& path, int error) {
    throw std::runtime_error("cannot write " + path + ": " + std::strerror(error) +
                             (error == EROFS ? "; what mounts it must be changed instead, such as the Secret" : ""));
}

// The list of further users that acl(5) describes. Without it the group's bits, which limit the list, would be rights
// of the group.
bool keep_access_list(const std::string& of, int file) {
    constexpr auto name = "system.posix_acl_access";
    std::array<char, 4096> list; // of 500 users
    const auto size = ::getxattr(of.c_str(), name, list.data(), list.size());
    if (size >= 0) return ::fsetxattr(file, name, list.data(), static_cast<std::size_t>(size), 0) == 0;
    if (errno == ERANGE) return false;
    ::fremovexattr(file, name); // what the folder gives to whatever is made in it
    return true;
}

// The rights of `of`, as its status tells them. 0, or errno.
int keep_access(const std::string& of, const struct stat& status, int file) {
    mode_t mode = status.st_mode & 0777;
    // Before the mode: it takes bits away. Only root may give a file to another user, but anybody to a group of theirs.
    const bool owned =
        ::fchown(file, status.st_uid, status.st_gid) == 0 || ::fchown(file, static_cast<uid_t>(-1), status.st_gid) == 0;
    // Who was of the old group is one of the others now, and gets no more than either had.
    if (!owned || !keep_access_list(of, file)) mode &= S_IRWXU | ((mode >> 3) & S_IRWXO);
    return ::fchmod(file, mode) == 0 ? 0 : errno;
}

// 0, or errno.
int write_all(int file, std::string_view content) {
    while (!content.empty()) {
        const auto written = ::write(file, content.data(), content.size());
        if (written >= 0)
            content.remove_prefix(static_cast<std::size_t>(written));
        else if (errno != EINTR)
            return errno;
    }
    return 0;
}

// 0, or errno.
int copy_all(int from, int to) {
    std::array<char, 4096> bytes; // perhaps of a key
    int error = 0;
    while (error == 0) {
        const auto size = ::read(from, bytes.data(), bytes.size());
        if (size == 0) break;
        if (size > 0)
            error = write_all(to, {bytes.data(), static_cast<std::size_t>(size)});
        else if (errno != EINTR)
            error = errno;
    }
    ::explicit_bzero(bytes.data(), bytes.size());
    return error;
}

} // namespace

std::string behind_links(const std::string& path) {
    std::error_code ec;
    const auto real = fs::weakly_canonical(path, ec);
    return ec ? path : real.string();
}

file_replacement::temporary::~temporary() {
    if (!path.empty()) ::unlink(path.c_str());
}

file_replacement::file_replacement(const std::string& path, std::string_view content, mode_t mode)
    : target_(behind_links(path)) {
    const fs::path target(target_);
    auto beside = (target.parent_path() / ('.' + target.filename().string() + ".XXXXXX")).string();
    const descriptor file{::mkostemp(beside.data(), O_CLOEXEC)}; // mode 0600
    if (file.value < 0) fail(target_, errno);
    fresh_.path = std::move(beside);
    struct stat now {};
    const bool there = ::stat(target_.c_str(), &now) == 0;
    int error = there ? keep_access(target_, now, file.value) : ::fchmod(file.value, mode) != 0 ? errno : 0;
    if (error == 0) error = write_all(file.value, content);
    if (error == 0 && ::fsync(file.value) != 0) error = errno;
    if (error != 0) fail(target_, error);
    if (there) keep_former();
}

// As a second name of the file, or, where there is no such thing (SMB, FAT, a file of another user), as a copy.
void file_replacement::keep_former() {
    auto former = fresh_.path + ".old"; // as unique as that one
    if (::link(target_.c_str(), former.c_str()) == 0) {
        former_.path = std::move(former);
        return;
    }
    const descriptor from{::open(target_.c_str(), O_RDONLY | O_CLOEXEC)};
    struct stat status {};
    if (from.value < 0 || ::fstat(from.value, &status) != 0) fail(target_, errno);
    const descriptor to{::open(former.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (to.value < 0) fail(target_, errno);
    former_.path = std::move(former);
    int error = keep_access(target_, status, to.value);
    if (error == 0) error = copy_all(from.value, to.value);
    if (error != 0) fail(target_, error);
}

void file_replacement::commit() {
    if (::rename(fresh_.path.c_str(), target_.c_str()) != 0) fail(target_, errno);
    fresh_.path.clear();
    // So that the name survives a power cut, too; where a folder cannot be synced, the rename still counts.
    const descriptor folder{::open(fs::path(target_).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (folder.value >= 0) ::fsync(folder.value);
}

bool file_replacement::undo() noexcept {
    if (former_.path.empty()) return ::unlink(target_.c_str()) == 0;
    if (::rename(former_.path.c_str(), target_.c_str()) != 0) return false;
    former_.path.clear();
    return true;
}

} // namespace scoregate::base
