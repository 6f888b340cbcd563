// New content for a file: written beside it and synced, it takes the file's place by one rename(2), so that a reader
// sees the old content or the new, never half. Dropped without commit() it leaves nothing behind. Any thread; blocks.
#pragma once

#include <string>
#include <string_view>
#include <sys/types.h>

namespace scoregate::base {

class file_replacement {
public:
    // Follows symbolic links to the file they lead to. A file that is there keeps its mode and owner, a new one gets
    // `mode`. Throws std::runtime_error with a sentence that names the file, here and in commit().
    file_replacement(const std::string& path, std::string_view content, mode_t mode);
    file_replacement(const file_replacement&) = delete;
    file_replacement& operator=(const file_replacement&) = delete;
    ~file_replacement();

    void commit();
    // After commit(): what was there before is there again.
    void undo() noexcept;

private:
    std::string target_, fresh_, former_; // former_: a second link to what was there, empty if nothing was
};

} // namespace scoregate::base
