#include "auth/key_file.hpp"

#include "auth/bearer.hpp"
#include "auth/keys.hpp"

#include <openssl/crypto.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace scoregate::auth {

namespace {

constexpr std::string_view white_space = " \t\r\n\f\v";

struct file_descriptor {
    int value;
    ~file_descriptor() {
        if (value >= 0) ::close(value);
    }
};

std::string make_one(const std::string& path) { return "make a key: scoregate key generate > " + path; }

std::string unreadable(const std::string& path, int error) {
    const auto remedy = error == ENOENT   ? "correct the path, or " + make_one(path)
                        : error == EACCES ? "let the user that scoregate runs as read it"
                                          : "check the path and what is there";
    return "cannot read " + path + ": " + std::generic_category().message(error) + "; " + remedy;
}

std::string_view trimmed(std::string_view text) {
    const auto begin = text.find_first_not_of(white_space);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(white_space) - begin + 1);
}

// Why `key` cannot be one, or empty. Tells nothing of what it is.
std::string defect_of(const std::string& path, std::string_view key) {
    if (key.empty()) return path + " is empty; " + make_one(path);
    if (key.find_first_of(white_space) != std::string_view::npos)
        return path + " holds more than one word, but a key file holds one key alone; " + make_one(path);
    if (!is_token(key))
        return path +
               " holds characters that no client can send as a bearer token: a key is made of letters, digits and "
               "- . _ ~ + / with = at its end alone (RFC 6750 2.1); " +
               make_one(path);
    if (key.size() < service_keys::min_key_size)
        return path + " holds a key of fewer than 32 characters, which could be guessed; " + make_one(path);
    if (key.size() > service_keys::max_key_size)
        return path + " holds a key of more than 512 characters; name the right file, or " + make_one(path);
    return {};
}

} // namespace

key_file::key_file(const std::string& path) {
    defect_ = read(path);
    content_ = defect_.empty() ? sha256("held ", {bytes_.data(), size_}) : sha256("unreadable ", defect_);
    if (!defect_.empty()) return;
    key_ = trimmed({bytes_.data(), size_});
    defect_ = defect_of(path, key_);
}

key_file::~key_file() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

// Why it could not be read, or empty.
std::string key_file::read(const std::string& path) {
    // Non-blocking, so that a pipe in the file's place cannot hold up the thread.
    const file_descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    struct stat status {};
    if (file.value < 0 || ::fstat(file.value, &status) != 0) return unreadable(path, errno);
    if (!S_ISREG(status.st_mode))
        return "cannot read " + path + ": it is not a regular file; name the file that holds the key";
    readable_by_others_ = (status.st_mode & S_IROTH) != 0;
    while (size_ < bytes_.size()) {
        const auto got = ::read(file.value, bytes_.data() + size_, bytes_.size() - size_);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return unreadable(path, errno);
        if (got == 0) return {};
        size_ += static_cast<std::size_t>(got);
    }
    return path + " is larger than 4 KiB, which no key is; name the right file, or " + make_one(path);
}

} // namespace scoregate::auth
