// New content for a file: written beside it and synced, it takes the file's place by one rename(2), so that a reader
// sees the old content or the new, never half. What can fail fails before that. Dropped, with or without commit(), it
// leaves nothing else behind; only a process that is killed does, as .NAME.XXXXXX*. Any thread; blocks.
#pragma once

#include <string>
#include <string_view>
#include <sys/types.h>

namespace scoregate::base {

// The file that `path` means: what its symbolic links lead to, be the file there or not.
std::string behind_links(const std::string& path);

class file_replacement {
public:
    // Of the file behind_links(path). A file that is there keeps its mode, owner, group and access list; where the
    // owner cannot be kept it becomes this process's, where the group or the list cannot, the group's rights go: nobody
    // gets more than before. A new file gets `mode`. Throws std::runtime_error with a sentence that names the file,
    // here and in commit().
    file_replacement(const std::string& path, std::string_view content, mode_t mode);
    file_replacement(const file_replacement&) = delete;
    file_replacement& operator=(const file_replacement&) = delete;

    void commit();
    // After commit(): what was there before is there again, be it nothing. False: it could not be brought back.
    bool undo() noexcept;

private:
    // A file that goes with its owner, unless the name was cleared.
    struct temporary {
        std::string path;
        ~temporary();
    };

    void keep_former();

    std::string target_;
    temporary fresh_, former_; // former_: what was there, without a name if nothing was
};

} // namespace scoregate::base
