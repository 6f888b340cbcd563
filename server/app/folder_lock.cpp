#include "app/folder_lock.hpp"

#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <stdexcept>
#include <sys/file.h>
#include <unistd.h>

namespace scoregate::app {

folder_lock::folder_lock(const std::string& folder, std::chrono::milliseconds patience, int until)
    : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    // flock(2) waits for ever or not at all, so it is asked again and again.
    const auto end = std::chrono::steady_clock::now() + patience;
    while (descriptor_ >= 0 && ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        if (std::chrono::steady_clock::now() >= end) {
            ::close(descriptor_);
            throw std::runtime_error("another process has kept " + folder +
                                     " locked for too long; wait until it is done (`lslocks` names it), and try again");
        }
        pollfd told{until, POLLIN, 0};
        if (::poll(&told, 1, 20 /* ms */) > 0) {
            ::close(descriptor_);
            throw std::runtime_error("was told to end while another process had " + folder + " locked");
        }
    }
}

folder_lock::~folder_lock() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

} // namespace scoregate::app
