#include "base/file_replacement.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <stdexcept>
#include <sys/stat.h>
#include <unistd.h>

namespace scoregate::base {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(const std::string& path, int error) {
    throw std::runtime_error("cannot write " + path + ": " + std::strerror(error) +
                             (error == EROFS ? "; what mounts it must be changed instead, such as the Secret" : ""));
}

std::string resolved(const std::string& path) {
    std::error_code ec;
    const auto real = fs::weakly_canonical(path, ec);
    return ec ? path : real.string();
}

// 0, or errno.
int write_whole(int file, std::string_view content) {
    while (!content.empty()) {
        const auto written = ::write(file, content.data(), content.size());
        if (written >= 0)
            content.remove_prefix(static_cast<std::size_t>(written));
        else if (errno != EINTR)
            return errno;
    }
    return ::fsync(file) == 0 ? 0 : errno;
}

} // namespace

file_replacement::file_replacement(const std::string& path, std::string_view content, mode_t mode)
    : target_(resolved(path)) {
    const fs::path target(target_);
    const auto beside = (target.parent_path() / ('.' + target.filename().string())).string();
    const auto fresh = beside + ".new";
    ::unlink(fresh.c_str()); // left by a run that was killed
    const int file = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) fail(fresh, errno);
    fresh_ = fresh;
    struct stat now {};
    const bool there = ::stat(target_.c_str(), &now) == 0;
    int error = 0;
    // The owner first: it takes set-id bits away from the mode. Only root may give a file to another.
    if (there && ::fchown(file, now.st_uid, now.st_gid) != 0 && errno != EPERM) error = errno;
    if (error == 0 && ::fchmod(file, there ? now.st_mode & 0777 : mode) != 0) error = errno;
    if (error == 0) error = write_whole(file, content);
    if (::close(file) != 0 && error == 0) error = errno;
    if (error == 0 && there) {
        former_ = beside + ".old";
        ::unlink(former_.c_str());
        if (::link(target_.c_str(), former_.c_str()) != 0) {
            error = errno;
            former_.clear();
        }
    }
    if (error == 0) return;
    ::unlink(fresh_.c_str());
    fail(target_, error);
}

file_replacement::~file_replacement() {
    if (!fresh_.empty()) ::unlink(fresh_.c_str());
    if (!former_.empty()) ::unlink(former_.c_str());
}

void file_replacement::commit() {
    if (::rename(fresh_.c_str(), target_.c_str()) != 0) fail(target_, errno);
    fresh_.clear();
    // So that the name survives a power cut, too; where a folder cannot be synced, the rename still counts.
    const int folder = ::open(fs::path(target_).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return;
    ::fsync(folder);
    ::close(folder);
}

void file_replacement::undo() noexcept {
    if (!former_.empty())
        ::rename(former_.c_str(), target_.c_str());
    else
        ::unlink(target_.c_str());
    former_.clear();
}

} // namespace scoregate::base
