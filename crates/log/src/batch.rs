//! How the messages of one transaction become bytes: JSON lines in an array, lz4 behind a length.

use hunch_messages::Message;

#[derive(Debug, thiserror::Error)]
pub enum BatchFormatError {
    #[error("the payload does not unpack")]
    Compression(#[source] lz4_flex::block::DecompressError),
    #[error("a message is not what its version says")]
    Json(#[source] serde_json::Error),
}

/// # Errors
/// `Json` if a message cannot be written, which no message type of ours can cause.
pub fn encode_messages(messages: &[Message]) -> Result<Vec<u8>, BatchFormatError> {
    let json = serde_json::to_vec(messages).map_err(BatchFormatError::Json)?;
    Ok(lz4_flex::block::compress_prepend_size(&json))
}

/// # Errors
/// `Compression` or `Json` when the bytes were not made by [`encode_messages`].
pub fn decode_messages(payload: &[u8]) -> Result<Vec<Message>, BatchFormatError> {
    let json = lz4_flex::block::decompress_size_prepended(payload).map_err(BatchFormatError::Compression)?;
    serde_json::from_slice(&json).map_err(BatchFormatError::Json)
}
