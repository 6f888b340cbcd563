#include "auth/read_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace scoregate::auth {

namespace {

struct file_descriptor {
    int value;
    ~file_descriptor() {
        if (value >= 0) ::close(value);
    }
};

std::string unreadable(const std::string& path, int error, const std::string& making) {
    const auto remedy = error == ENOENT   ? "correct the path, or " + making
                        : error == EACCES ? "let the user that scoregate runs as read it"
                                          : "check the path and what is there";
    return "cannot read " + path + ": " + std::generic_category().message(error) + "; " + remedy;
}

} // namespace

file_read read_file(const std::string& path, std::span<char> room, const char* holds, const std::string& making) {
    file_read done;
    // Non-blocking, so that a pipe in the file's place cannot hold up the thread.
    const file_descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    struct stat status {};
    if (file.value < 0 || ::fstat(file.value, &status) != 0) {
        done.defect = unreadable(path, errno, making);
        return done;
    }
    if (!S_ISREG(status.st_mode)) {
        done.defect =
            "cannot read " + path + ": it is not a regular file; name the file that holds " + std::string(holds);
        return done;
    }
    done.readable_by_others = (status.st_mode & S_IROTH) != 0;
    while (done.size < room.size()) {
        const auto got = ::read(file.value, room.data() + done.size, room.size() - done.size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) done.defect = unreadable(path, errno, making);
        if (got <= 0) break;
        done.size += static_cast<std::size_t>(got);
    }
    return done;
}

std::string open_to_all(const std::string& path, const char* danger) {
    return path + " can be read by every user of this machine, and " + danger + "; chmod o-r " + path +
           ", or defaultMode: 0400 where Kubernetes mounts the secret";
}

} // namespace scoregate::auth
