#include "tls/pem.hpp"
#include "tls/ticket_keys.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

namespace scoregate::tls {

namespace {

// One byte more than a key has, so that a larger file shows. Wiped.
struct key_bytes {
    std::array<unsigned char, ticket_key::size + 1> value{};
    std::size_t size = 0;
    ~key_bytes() { OPENSSL_cleanse(value.data(), value.size()); }
};

struct file_descriptor {
    int value;
    ~file_descriptor() {
        if (value >= 0) ::close(value);
    }
};

// One run of read_ticket_keys.
class key_folder {
public:
    explicit key_folder(const std::string& path) : path_(path) {}

    ticket_key_files run() {
        if (list()) {
            if (names_.empty())
                refuse(path_ + " holds no file NAME.key; make one: openssl rand 80 > " + path_ + "/NAME.key");
            for (const auto& name : names_) read(name);
            check_names();
        }
        found_.content = hash_.finish();
        return std::move(found_);
    }

private:
    void refuse(std::string problem) {
        hash_.add(problem);
        found_.problems.push_back(std::move(problem));
    }

    bool list() {
        std::error_code error;
        std::filesystem::directory_iterator at(path_, error), end;
        while (!error && at != end) {
            auto name = at->path().filename().string();
            if (!name.starts_with('.') && name.ends_with(".key")) names_.push_back(std::move(name));
            at.increment(error);
        }
        if (error) refuse(unreadable(path_, error.value()).what());
        std::sort(names_.begin(), names_.end());
        return !error;
    }

    void read(const std::string& name) {
        const auto file_path = path_ + "/" + name;
        key_bytes bytes;
        // Non-blocking, so that a pipe in the file's place cannot hold up the thread.
        const file_descriptor file{::open(file_path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
        struct stat status {};
        if (file.value < 0 || ::fstat(file.value, &status) != 0) return refuse(unreadable(file_path, errno).what());
        if (!S_ISREG(status.st_mode))
            return refuse("cannot read " + file_path + ": it is not a regular file; name no folder or pipe NAME.key");
        while (bytes.size < bytes.value.size()) {
            const auto got = ::read(file.value, bytes.value.data() + bytes.size, bytes.value.size() - bytes.size);
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) return refuse(unreadable(file_path, errno).what());
            if (got == 0) break;
            bytes.size += static_cast<std::size_t>(got);
        }
        hash_.add(name);
        hash_.add({reinterpret_cast<const char*>(bytes.value.data()), bytes.size});
        if (bytes.size != ticket_key::size)
            return refuse(file_path + " is not a session ticket key: it has " +
                          (bytes.size > ticket_key::size ? "more than 80" : std::to_string(bytes.size)) +
                          " bytes instead of 80; make it anew: openssl rand 80 > " + file_path);
        if ((status.st_mode & S_IROTH) != 0)
            found_.warnings.push_back(file_path +
                                      " can be read by every user of this machine, and who has it can "
                                      "read what clients send; chmod o-r " +
                                      file_path);
        found_.keys.emplace_back(name, ticket_key(std::span(bytes.value).first<ticket_key::size>()));
    }

    // A ticket names its key, so no two may have one name. Keys copied to another file name do.
    void check_names() {
        const auto& keys = found_.keys;
        for (auto later = keys.begin(); later != keys.end(); ++later) {
            const auto earlier = std::find_if(keys.begin(), later, [&later](const auto& each) {
                return std::ranges::equal(each.second.name(), later->second.name());
            });
            if (earlier != later)
                refuse(path_ + ": " + earlier->first + " and " + later->first +
                       " begin with the same 16 bytes, by which tickets name their key; make the later one anew: "
                       "openssl rand 80 > " +
                       path_ + "/" + later->first);
        }
    }

    const std::string& path_;
    std::vector<std::string> names_;
    content_hash hash_;
    ticket_key_files found_;
};

} // namespace

ticket_key_files read_ticket_keys(const std::string& directory) { return key_folder(directory).run(); }

} // namespace scoregate::tls
